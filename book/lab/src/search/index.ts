// What is found for some words, best first. The data are those of tools/sphinx_search.py.
import MiniSearch, { type SearchResult } from "minisearch";

export type Kind = "page" | "section" | "figure" | "claim" | "term" | "object";
type Entry = [kind: Kind, anchor: string, title: string, text: string, names: string];
export type Page = [address: string, title: string, entries: Entry[]];

export interface Found {
  kind: Kind;
  address: string;
  title: string;
  page: string;
  text: string;
  names: string;
  terms: string[];
}

/** A chapter before its sections, the book's text before the package's reference. */
const WEIGHT: Record<Kind, number> = {
  page: 4,
  section: 2.5,
  term: 2,
  claim: 1.6,
  figure: 1.3,
  object: 0.6,
};

/** What ends a chapter names much of it, and is seldom what is looked for. */
const LAST = /^(Sources|Exercises|Common mistakes|Bibliography)$/;

const WORD = /[\p{L}\p{N}]+(?:[.\-_–][\p{L}\p{N}]+)*/gu;
/** Words in small letters without accents: "Fréchet" is found by "frechet". */
function plain(word: string): string {
  return word.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();
}

/** The words of a text; "WGAN-GP" and "gt.fit" are one and also those in it, "1.2" is only one. */
function tokens(text: string): string[] {
  const words = text.match(WORD) ?? [];
  return words.flatMap((word) => {
    if (/^[\d.]+$/.test(word)) return [word];
    const parts = word.split(".");
    const inside = parts.flatMap((part) => part.split(/[-_–]/));
    return [...new Set([word, ...parts, ...inside])];
  });
}

export class Index {
  private readonly entries: Found[] = [];
  private readonly search: MiniSearch;

  constructor(pages: Page[]) {
    this.search = new MiniSearch({
      fields: ["title", "alias", "page", "text", "names"],
      tokenize: tokens,
      processTerm: plain,
    });
    const documents = [];
    for (const [address, page, entries] of pages)
      for (const [kind, anchor, title, text, names] of entries) {
        const place = anchor ? `${address}#${anchor}` : address;
        const id = this.entries.length;
        this.entries.push({ kind, address: place, title, page, text, names, terms: [] });
        const [alias, more] = kind === "page" ? [names, ""] : ["", names];
        documents.push({ id, title, alias, page: kind === "page" ? "" : page, text, names: more });
      }
    this.search.addAll(documents);
  }

  /** All entries with all the words, or where there is none, with some of them. */
  find(query: string): Found[] {
    const wanted = plain(query.trim()).replace(/\s+/g, " ");
    const options = {
      boost: { title: 6, alias: 6, page: 1.5 },
      prefix: (term: string) => term.length > 1 && !/^[\d.]+$/.test(term),
      fuzzy: (term: string) => (term.length > 4 ? 1 : false), // letters
      weights: { prefix: 0.4, fuzzy: 0.15 },
      tokenize: (text: string) => text.match(WORD) ?? [],
      boostDocument: (id: number) => {
        const { kind, title, names } = this.entries[id];
        const name = plain(title).replace(/^\d+\. /, "");
        const own = name === wanted || (kind === "page" && plain(names) === wanted);
        return WEIGHT[kind] * (own ? 4 : 1) * (LAST.test(title) ? 0.2 : 1);
      },
    };
    let found = this.search.search(query, { ...options, combineWith: "AND" });
    if (!found.length) found = this.search.search(query, { ...options, tokenize: tokens });
    return found.map((one: SearchResult) => ({
      ...this.entries[one.id],
      terms: one.terms,
    }));
  }
}

/** The part of a text around the first of these words, cut in pieces: those at odd places are the words. */
export function excerpt(text: string, terms: string[], length = 160): string[] {
  const words = [...text.matchAll(WORD)];
  const hits = words.filter(({ 0: word }) =>
    tokens(word).some((token) => terms.includes(plain(token))),
  );
  const first = hits[0]?.index ?? 0;
  const start = first < 60 ? 0 : text.lastIndexOf(" ", first - 40) + 1;
  const end = text.indexOf(" ", start + length);
  const stop = end < 0 ? text.length : end;
  const pieces = [start > 0 ? "… " : ""];
  let place = start;
  for (const { 0: word, index } of hits) {
    if (index < start || index + word.length > stop) continue;
    pieces[pieces.length - 1] += text.slice(place, index);
    pieces.push(word, "");
    place = index + word.length;
  }
  pieces[pieces.length - 1] += text.slice(place, stop) + (end < 0 ? "" : " …");
  return pieces;
}
