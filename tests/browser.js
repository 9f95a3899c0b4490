// What test_browser.py asks of a page, so that axe-core need not look at fifty thousand elements.

/** The colours, behind and in front, size and weight of each text on the page: one of a kind gets the mark `name`. */
function markKinds(name, known) {
  const seen = new Set(known);
  const parents = new Set();
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) if (texts.currentNode.data.trim()) parents.add(texts.currentNode.parentElement);

  const backgrounds = new Map([[null, ""]]);
  const behind = (element) => {
    if (!backgrounds.has(element)) {
      const style = getComputedStyle(element);
      const own = [style.backgroundColor, style.backgroundImage, style.opacity].join();
      const opaque = style.opacity === "1" && /^rgb\(/.test(style.backgroundColor);
      const clear = own === "rgba(0, 0, 0, 0),none,1";
      const rest = opaque ? "" : behind(element.parentElement);
      backgrounds.set(element, clear ? rest : own + rest);
    }
    return backgrounds.get(element);
  };
  for (const element of parents) {
    const style = getComputedStyle(element);
    const kind = [style.color, behind(element), style.fontSize, style.fontWeight].join("|");
    if (seen.has(kind) || !element.checkVisibility({ visibilityProperty: true })) continue;
    seen.add(kind);
    element.setAttribute(name, "");
  }
  return [...seen];
}

/** Take out what has no meaning of its own: spans that only colour code, and the inside of a formula. Lines stay. */
function dropSpans(root = document) {
  for (const formula of root.querySelectorAll("math")) formula.replaceChildren();
  for (const formula of root.querySelectorAll(".katex-html")) {
    const display = formula.closest(".katex-display");
    const width = display?.scrollWidth; // it still scrolls, where it did
    formula.replaceChildren();
    if (display) formula.style.cssText = `display: block; height: 1em; width: ${width}px`;
  }
  for (const span of root.querySelectorAll("span"))
    if ([...span.attributes].every(({ name }) => name === "class") && getComputedStyle(span).display === "inline")
      span.replaceWith(...span.childNodes);
  document.body.normalize();
}

/** Leave nothing but marked texts and what they stand in. */
function leaveKinds(...names) {
  const marked = [...document.querySelectorAll(names.map((name) => `[${name}]`).join())];
  const kept = new Set();
  for (let element of marked) for (; element; element = element.parentElement) kept.add(element);
  for (const element of document.body.querySelectorAll("*"))
    if (!kept.has(element) && !["STYLE", "SCRIPT", "LINK"].includes(element.tagName)) element.remove();
}

/** Violations of axe-core's rules, each in a line. */
async function violations(include, options) {
  const found = await axe.run(include, { resultTypes: ["violations"], preload: false, ...options });
  return found.violations.flatMap(({ id, nodes }) => nodes.slice(0, 5).map((node) => `${id}: ${node.html.slice(0, 160)}`));
}

/** What sticks out of the page to the right. */
function wide() {
  const room = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= room) return [];
  const clipped = (element) => {
    for (let above = element.parentElement; above; above = above.parentElement)
      if (getComputedStyle(above).overflowX !== "visible") return true;
    return false;
  };
  const out = [...document.querySelectorAll("main *")].filter(
    (element) => element.getBoundingClientRect().right > room + 1 && !clipped(element),
  );
  return [
    `${document.documentElement.scrollWidth} px`,
    ...out.slice(0, 5).map((element) => element.cloneNode().outerHTML.slice(0, 120)),
  ];
}
