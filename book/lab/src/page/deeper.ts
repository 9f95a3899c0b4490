// The second reading, "Deeper", is folded on the screen. Its heading's button opens a part, and so does whatever leads
// into it: a link, the search, the browser's own search. Without scripts and on paper all of it is open.

function fold(section: HTMLElement): void {
  const heading = section.querySelector<HTMLElement>(":scope > :is(h2, h3)");
  if (!heading) return;
  const body = document.createElement("div");
  body.className = "deeper-body";
  while (heading.nextSibling) body.append(heading.nextSibling);
  body.id = `${section.id}-body`;
  heading.id ||= `${section.id}-heading`;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "deeper-fold";
  button.id = `${section.id}-fold`;
  button.setAttribute("aria-controls", body.id);
  button.setAttribute("aria-labelledby", `${button.id} ${heading.id}`);
  const show = (open: boolean) => {
    button.textContent = open ? "Close" : "Open";
    button.setAttribute("aria-expanded", String(open));
    if (open) body.removeAttribute("hidden");
    else body.setAttribute("hidden", "until-found"); // the browser's search looks into it
    dispatchEvent(new Event("resize")); // what has its width now may scroll
  };
  button.onclick = () => show(button.ariaExpanded === "false");
  body.addEventListener("beforematch", () => show(true));
  section.append(button, body);
  show(false);
}

/** Open the part that the address leads into, and go there. */
function follow(): void {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  const folded = target
    ?.closest("section.deeper")
    ?.querySelector<HTMLElement>(":scope > .deeper-fold");
  if (folded?.ariaExpanded === "false") folded.click();
  target?.scrollIntoView();
}

export function foldDeeper(): void {
  const sections = document.querySelectorAll<HTMLElement>("section.deeper");
  if (!sections.length) return;
  sections.forEach(fold);
  if (location.hash) follow();
  addEventListener("hashchange", follow);
  // A link to where one already is changes no address.
  document.addEventListener("click", ({ target }) => {
    const link = target instanceof Element && target.closest<HTMLAnchorElement>("a[href*='#']");
    if (link && link.href === location.href) follow();
  });
}
