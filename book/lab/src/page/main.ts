// What every page needs: a formula, a table or code that scrolls inside itself can be reached by keyboard. (The theme
// does this for code, but once: code that is folded at that moment has no width.)
const scrolling = document.querySelectorAll<HTMLElement>(
  "article .katex-display, article table, article pre",
);

function reach(): void {
  for (const element of scrolling)
    if (element.scrollWidth > element.clientWidth + 1) element.tabIndex = 0;
    else element.removeAttribute("tabindex");
}

reach();
addEventListener("resize", reach);
document.fonts.addEventListener("loadingdone", reach);
for (const box of document.querySelectorAll("details")) box.addEventListener("toggle", reach);
