// The page of all claims shows those alone that a reader asks for, by words and by kind (tools/claims_page.py).
const form = document.querySelector<HTMLFormElement>(".claim-filter")!;
const records = [...document.querySelectorAll<HTMLElement>("details.record")];
const chapters = [
  ...document.querySelectorAll<HTMLElement>("article section:has(> details.record)"),
];
const [words, kind] = [form.querySelector("input")!, form.querySelector("select")!];

function show(): void {
  const wanted = words.value.toLowerCase().split(/\s+/);
  for (const record of records) {
    const text = record.querySelector("summary")!.textContent!.toLowerCase();
    const kinds = record.dataset.kinds!.split(" ");
    record.hidden =
      !wanted.every((word) => text.includes(word)) ||
      (kind.value !== "" && !kinds.includes(kind.value));
  }
  for (const chapter of chapters)
    chapter.hidden = !chapter.querySelector("details.record:not([hidden])");
  const count = records.filter(({ hidden }) => !hidden).length;
  form.querySelector("output")!.textContent =
    count === records.length ? "" : `${count} of ${records.length}`;
}

form.addEventListener("input", show);
form.addEventListener("submit", (event) => event.preventDefault());
// A link to a record that is hidden shows all of them.
addEventListener("hashchange", () => {
  form.reset();
  show();
});
form.hidden = false;
