/** Elements in one line: h("button", { type: "button", onclick: play }, "Play"). */

type Content = Node | string | null | undefined | false;
type Attributes = Record<string, unknown>;

/** An element. Functions become properties (onclick), true an attribute without value, null and false none at all. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...content: Content[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") Object.assign(element, { [name]: value });
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...content.filter((one): one is Node | string => Boolean(one)));
  return element;
}

let count = 0;
/** An id that no other element has. */
export function newId(): string {
  return `gan-lab-${++count}`;
}

/** Change a text only where it differs, so that nothing is laid out or read again without need. */
export function say(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

/** Put a text onto the clipboard: also from a page that is opened from disk. */
export async function copy(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = h("textarea", { readonly: true, class: "gan-hidden" });
    area.value = text;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}

/** Put what is around a picture in the order in which it is seen, for the focus goes that way. */
export function arrange(
  picture: Element,
  bar: Element,
  behind: Record<"wide" | "phone", Element[]>,
): void {
  const wide = matchMedia("(min-width: 48rem)");
  const order = () => {
    if (wide.matches) picture.before(bar);
    else picture.after(bar);
    (wide.matches ? picture : bar).after(...(wide.matches ? behind.wide : behind.phone));
  };
  order();
  wide.addEventListener("change", order);
}

/** On a phone a picture stays in sight, small, while a reader turns the knobs below it. */
export function keepInSight(picture: Element, whole: Element): void {
  const phone = matchMedia("(max-width: 600px) and (min-height: 500px)");
  const seen = new Map([picture, whole].map((part) => [part, true]));
  const watch = new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting, boundingClientRect } of entries)
        seen.set(target, isIntersecting || (target === picture && boundingClientRect.top > 0));
      picture.classList.toggle("afloat", phone.matches && !seen.get(picture) && seen.get(whole));
    },
    { rootMargin: "-200px 0px 0px" }, // as high as the page's bar and the small picture
  );
  watch.observe(picture);
  watch.observe(whole);
}

export const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
