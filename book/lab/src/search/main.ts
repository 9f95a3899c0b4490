// The search of the pages: results appear under the field while one types, in the theme's dialog (Ctrl+K) and on
// the page of all results. The data come when they are first wanted.
import { excerpt, type Found, Index, type Page } from "./index.ts";

declare global {
  interface Window {
    bookSearch?: (pages: Page[]) => void;
  }
}

const root = document.documentElement.dataset["content_root"] ?? "./";
let index: Promise<Index> | undefined;

/** The index; a page from disk may load a script, which calls bookSearch, and nothing else. */
function load(): Promise<Index> {
  index ??= new Promise((resolve, reject) => {
    window.bookSearch = (pages) => resolve(new Index(pages));
    const script = document.createElement("script");
    script.src = `${root}_static/search-data.js`;
    script.onerror = () => {
      index = undefined;
      reject(new Error("The search's data could not be loaded."));
    };
    document.head.append(script);
  });
  return index;
}

const KINDS = { page: "", section: "", figure: "", claim: "", term: "Glossary", object: "Package" };

function item(found: Found): HTMLLIElement {
  const link = document.createElement("a");
  link.href = root + found.address;
  link.textContent = found.title;
  const where = document.createElement("span");
  where.className = "where";
  where.textContent = KINDS[found.kind] || (found.kind === "page" ? "" : found.page);
  const text = document.createElement("p");
  for (const [place, piece] of excerpt(found.text, found.terms).entries()) {
    const part = document.createElement(place % 2 ? "mark" : "span");
    part.textContent = piece;
    text.append(part);
  }
  const made = document.createElement("li");
  made.append(link, " ", where, text);
  return made;
}

/** Show results under a field: at most `most`, and where there are more, a link to all. */
function attach(form: HTMLFormElement, most: number): (query: string) => void {
  const input = form.querySelector("input")!;
  const box = document.createElement("div");
  box.className = "found";
  const status = document.createElement("p");
  status.role = "status";
  const list = document.createElement("ol");
  box.append(status, list);
  box.hidden = true;
  form.after(box);
  let asked = "";

  const show = async (query: string): Promise<void> => {
    asked = query;
    if (!query.trim()) {
      box.hidden = true;
      return;
    }
    try {
      const found = (await load()).find(query);
      if (asked !== query) return; // the reader has typed on
      list.replaceChildren(...found.slice(0, most).map(item));
      status.textContent =
        found.length === 0
          ? `Nothing found for “${query.trim()}”.`
          : found.length === 1
            ? "One place"
            : `${found.length} places`;
      if (found.length > most && !form.closest(".bd-search-container")) {
        const all = document.createElement("a");
        all.href = `${root}search.html?q=${encodeURIComponent(query)}`;
        all.textContent = "all of them";
        status.append(", ", all);
      }
    } catch (error) {
      status.textContent = (error as Error).message;
    }
    box.hidden = false;
  };

  input.addEventListener("focus", () => void load().catch(() => {}));
  input.addEventListener("input", () => void show(input.value));
  // Arrow keys lead from the field through the results and back.
  const stops = (): HTMLElement[] => [input, ...list.querySelectorAll("a")];
  for (const part of [form, box] as HTMLElement[])
    part.addEventListener("keydown", (event) => {
      const step = +(event.key === "ArrowDown") - +(event.key === "ArrowUp");
      const here = stops().indexOf(document.activeElement as HTMLElement);
      if (!step || here < 0 || box.hidden) return;
      event.preventDefault();
      stops()[here + step]?.focus();
    });
  return (query) => {
    input.value = query;
    void show(query);
  };
}

for (const form of document.querySelectorAll<HTMLFormElement>("form.bd-search")) {
  const page = form.closest(".bd-search-container");
  const search = attach(form, page ? 60 : 10);
  const asked = new URLSearchParams(location.search).get("q");
  if (page && asked) search(asked);
}
