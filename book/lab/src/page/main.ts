// What every page needs: a formula, a table or code that scrolls inside itself can be reached by keyboard. (The theme
// does this for code, but once: code that is folded at that moment has no width.)
import { foldDeeper } from "./deeper.ts";

const scrolling = document.querySelectorAll<HTMLElement>(
  "article .katex-display, article table, article pre",
);

function reach(): void {
  for (const element of scrolling)
    if (element.scrollWidth > element.clientWidth + 1) element.tabIndex = 0;
    else element.removeAttribute("tabindex");
}

foldDeeper();
reach();
addEventListener("resize", reach);
document.fonts.addEventListener("loadingdone", reach);
for (const box of document.querySelectorAll("details")) box.addEventListener("toggle", reach);

// Paper is white: a page is light while it is printed, with all that scripts have drawn in it.
const root = document.documentElement;
let onScreen: string | undefined;

function onPaper(now: boolean): void {
  if (now && onScreen === undefined) {
    onScreen = root.dataset.theme ?? "light";
    root.dataset.theme = "light";
  } else if (!now && onScreen !== undefined) {
    root.dataset.theme = onScreen;
    onScreen = undefined;
  }
}

addEventListener("beforeprint", () => onPaper(true));
addEventListener("afterprint", () => onPaper(false));
matchMedia("print").addEventListener("change", ({ matches }) => onPaper(matches));
