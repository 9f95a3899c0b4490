/** Elements in one line: element("button", { type: "button", onclick: play }, "Play"). */
export function element<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Record<string, unknown> = {},
  ...content: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") Object.assign(made, { [name]: value });
    else if (value !== false && value !== null) made.setAttribute(name, String(value));
  }
  made.append(...content);
  return made;
}

/** One of several buttons is chosen: arrow keys move among them, and the tabulator enters and leaves them as one. */
export class Choice {
  readonly group: HTMLDivElement;
  private readonly buttons: HTMLButtonElement[];

  constructor(name: string, buttons: HTMLButtonElement[], choose: (index: number) => void) {
    this.buttons = buttons;
    this.group = element("div", { role: "radiogroup", "aria-label": name }, ...buttons);
    buttons.forEach((button, index) => {
      button.type = "button";
      button.setAttribute("role", "radio");
      button.onclick = () => choose(index);
    });
    this.group.onkeydown = (event) => {
      const move = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      const at = buttons.indexOf(document.activeElement as HTMLButtonElement);
      if (!move || at < 0) return;
      event.preventDefault();
      const next = (at + move + buttons.length) % buttons.length;
      buttons[next].focus();
      choose(next);
    };
  }

  /** Mark one as chosen, or none. */
  mark(index: number): void {
    this.buttons.forEach((button, k) => {
      button.setAttribute("aria-checked", String(k === index));
      button.tabIndex = k === Math.max(0, index) ? 0 : -1;
    });
  }
}
