/** What the laboratory looks like: elements only. What they do is the laboratory's. */
import { checkSetting, MOST_POINTS, type Player, type Setting } from "../engine/protocol.ts";
import { toPython } from "../engine/python.ts";
import { nameOf, presetOf, presetsOf } from "./chapters.ts";
import { arrange, copy, h, keepInSight, newId, say } from "./dom.ts";
import { icon } from "./icons.ts";
import { FIRST, knob, type Knob, type KnobName, SECTIONS } from "./knobs.ts";
import { addressOf, type Lab, type Layer, LAYERS, marksOf, SPEEDS, STOPS } from "./lab.ts";
import type { Pad } from "./pad.ts";
import { endWords, lineWords } from "./scale.ts";
import { AIMS, modesWords, number, percent } from "./words.ts";

const KEYS: Record<string, [words: string, act: (lab: Lab) => void]> = {
  p: ["play or pause", (lab) => lab.toggle()],
  s: ["one step", (lab) => lab.step()],
  c: ["one update of the critic", (lab) => lab.update("critic")],
  g: ["one update of the generator", (lab) => lab.update("generator")],
  n: ["the next update, whoever’s turn it is", (lab) => lab.update("next")],
  r: ["reset", (lab) => lab.reset()],
};

export class Panel {
  readonly element: HTMLElement;
  readonly plane = h("canvas", { class: "plane", role: "img" });
  readonly curves = h("canvas", {
    class: "curves",
    role: "img",
    "aria-label": "Both losses over the steps",
  });
  private readonly playButton: HTMLButtonElement;
  private readonly stops = new Map<number, HTMLButtonElement>();
  private readonly start: HTMLButtonElement;
  private readonly counts = h("span", { class: "counts" });
  private readonly rate = h("span", { class: "rate" });
  private readonly modes = h("div", { class: "modes" });
  private readonly modesText = h("span");
  private readonly bars = h("span", { class: "bars", "aria-hidden": "true" });
  private readonly said = h("p", { class: "said" });
  private readonly complaint = h("p", { class: "complaint", role: "alert", hidden: true });
  private readonly live = h("p", { class: "gan-hidden", role: "status", "aria-live": "polite" });
  private readonly players = {} as Record<
    Player,
    { card: HTMLElement; dots: HTMLElement; loss: HTMLElement }
  >;
  private readonly knobs: Knob[] = [];
  private readonly links: HTMLAnchorElement[] = [];
  private readonly code = h("code");
  private readonly line = h("span");
  private readonly ends = [h("span"), h("span")];
  private readonly preset = h("select", { class: "preset" });
  /** The setting that the controls show. */
  private shown: Setting | null = null;
  private readonly note = h("span", { class: "note" });
  /** Under a picture that is printed. */
  private readonly paper = h("p", { class: "paper" });
  private readonly drawing = h("div", { class: "drawing", hidden: true });

  constructor(
    private readonly lab: Lab,
    private readonly pad: Pad,
  ) {
    const { layout } = lab.options;
    this.playButton = this.button("play", "Play", () => lab.toggle(), "main");
    this.start = h(
      "button",
      { type: "button", class: "start", onclick: () => lab.play() },
      icon("play"),
      "Train",
    );
    const picture = h("div", { class: "picture" }, this.plane, pad.element, this.start);
    const parts =
      layout === "small" ? this.small() : layout === "embedded" ? this.embedded() : this.full();
    this.element = h(
      "section",
      {
        class: `lab lab-${layout}`,
        "aria-label": "GAN laboratory",
        onkeydown: (event: KeyboardEvent) => this.key(event),
      },
      picture,
      ...parts,
      this.paper,
      this.live,
    );
    if (layout === "small") return;
    const [bar, side, legend] = [this.bar(), this.side(), this.legend()];
    arrange(picture, bar, {
      wide: [legend, side, this.complaint],
      phone: [this.complaint, side, legend],
    });
    keepInSight(picture, this.element);
  }

  // ------------------------------------------------------------------------------------------------ layouts

  private small(): HTMLElement[] {
    return [
      h(
        "div",
        { class: "bar" },
        h(
          "p",
          { class: "told" },
          "Two networks, training as you watch. The critic colours the plane: blue where it expects data. The generator’s orange samples follow.",
        ),
        this.playButton,
        this.modesLine(),
        this.counts,
        this.pageLink("Open the laboratory"),
      ),
      this.complaint,
    ];
  }

  private embedded(): HTMLElement[] {
    const { lab } = this;
    return [
      h(
        "div",
        { class: "knobs few" },
        ...lab.options.knobs.map((name) => this.knob(name)),
        h("p", { class: "more" }, this.pageLink("All knobs")),
      ),
    ];
  }

  private full(): HTMLElement[] {
    return [
      h("div", { class: "knobs few" }, ...FIRST.map((name) => this.knob(name)), this.drawing),
      h(
        "details",
        { class: "sections" },
        h("summary", {}, "More settings"),
        h(
          "div",
          { class: "groups" },
          ...SECTIONS.map(([title, names]) =>
            h(
              "div",
              { role: "group", "aria-label": title },
              h("p", { class: "title" }, title),
              h("div", { class: "knobs" }, ...names.map((name) => this.knob(name))),
            ),
          ),
        ),
      ),
      this.share(),
    ];
  }

  private bar(): HTMLElement {
    const { lab } = this;
    const id = newId();
    const speed = h(
      "select",
      { id },
      ...SPEEDS.map(({ words }, k) => h("option", { value: k }, words)),
    );
    speed.onchange = () => lab.setSpeed(Number(speed.value));
    return h(
      "div",
      { class: "bar" },
      this.playButton,
      this.button("step", "One step", () => lab.step()),
      this.button("reset", "Reset", () => lab.reset()),
      this.playTo(),
      h("span", { class: "speed" }, h("label", { for: id }, "Speed"), speed),
      this.presets(),
    );
  }

  /** Buttons that play to a step and rest there. One whose step is behind can still be reached, and says so. */
  private playTo(): HTMLElement {
    const words = newId();
    for (const step of STOPS) {
      const onclick = () => this.lab.play(step);
      const label = `Play to step ${step}`;
      this.stops.set(
        step,
        h("button", { type: "button", onclick, "aria-label": label }, String(step)),
      );
    }
    return h(
      "span",
      { class: "speed stops", role: "group", "aria-labelledby": words },
      h("span", { id: words }, "Play to step"),
      ...this.stops.values(),
    );
  }

  private side(): HTMLElement {
    return h(
      "div",
      { class: "side" },
      h("p", { class: "counting" }, this.counts, this.rate),
      h("div", { class: "turns" }, this.player("critic"), this.player("generator")),
      this.said,
      this.modesLine(),
      h(
        "div",
        { class: "losses" },
        h("p", {}, h("b", {}, "Losses"), this.note),
        h("div", { class: "graph" }, this.curves),
      ),
    );
  }

  private modesLine(): HTMLElement {
    this.modes.append(this.modesText, this.bars);
    return this.modes;
  }

  private player(name: Player): HTMLElement {
    const dots = h("span", { class: "dots", "aria-hidden": "true" });
    const loss = h("span", { class: "loss" });
    const card = h(
      "div",
      { class: `player ${name}` },
      h("p", {}, h("b", {}, name === "critic" ? "Critic" : "Generator"), dots, loss),
      h("p", { class: "aim" }, AIMS[name]),
      h(
        "button",
        {
          type: "button",
          onclick: () => this.lab.update(name),
          "aria-label": `One update of the ${name}`,
        },
        "One update",
      ),
    );
    this.players[name] = { card, dots, loss };
    return card;
  }

  private legend(): HTMLElement {
    const toggles = (Object.keys(LAYERS) as Layer[]).map((layer) => {
      const box = h("input", { type: "checkbox" });
      box.checked = this.lab.layers[layer];
      box.onchange = () => this.lab.setLayer(layer, box.checked);
      return h(
        "label",
        { class: `layer ${layer}` },
        box,
        h("span", { class: "glyph" }),
        LAYERS[layer],
      );
    });
    return h(
      "div",
      { class: "legend" },
      h("div", { class: "layers", role: "group", "aria-label": "What is drawn" }, ...toggles),
      h(
        "p",
        { class: "field-scale" },
        this.ends[0],
        h("span", { class: "ramp" }),
        this.ends[1],
        h("span", { class: "line" }, h("span", { class: "stroke" }), this.line),
      ),
    );
  }

  /** A menu of the chapter's settings, or of all chapters'. */
  private presets(): HTMLElement {
    const id = newId();
    const { lab, preset } = this;
    const { chapter } = lab.options;
    preset.id = id;
    preset.append(h("option", { value: "" }, "your own"));
    const chapters = new Map<number, HTMLElement>();
    for (const [value, { title, chapter: of }] of presetsOf(chapter)) {
      const group = chapters.get(of) ?? h("optgroup", { label: `Chapter ${of}` });
      chapters.set(of, group);
      group.append(h("option", { value }, title));
    }
    preset.append(
      ...(chapter === null
        ? chapters.values()
        : [...chapters.values()].flatMap((one) => [...one.children])),
    );
    preset.onchange = () => {
      if (preset.value) lab.load(preset.value);
      this.link();
    };
    return h("span", { class: "speed" }, h("label", { for: id }, "Setting"), preset);
  }

  private knob(name: KnobName): HTMLElement {
    const made = knob(name, (part, settled) => this.lab.change(part, settled));
    this.knobs.push(made);
    return made.element;
  }

  private share(): HTMLElement {
    const { lab } = this;
    const done = h("span", { class: "done", role: "status" });
    const put = (what: string, text: () => string) => async () => {
      const good = await copy(text());
      say(
        done,
        good
          ? `${what} is on the clipboard.`
          : "The clipboard is not open to this page: select and copy by hand.",
      );
    };
    const keys = Object.entries(KEYS).flatMap(([key, [words]]) => [
      h("dt", {}, h("kbd", {}, key)),
      h("dd", {}, words),
    ]);
    return h(
      "div",
      { class: "share" },
      h(
        "p",
        {},
        h(
          "button",
          {
            type: "button",
            onclick: put("The link", () => addressOf(lab.options.page, lab.setting)),
          },
          "Copy link to this setting",
        ),
        h(
          "button",
          { type: "button", onclick: put("The code", () => this.code.textContent!) },
          "Copy as Python",
        ),
        done,
      ),
      h(
        "details",
        { class: "code" },
        h("summary", {}, "The same run in the package"),
        h("pre", { tabindex: 0 }, this.code),
      ),
      h(
        "details",
        { class: "for-keys" },
        h("summary", {}, "Keys, while the laboratory has the focus"),
        h("dl", { class: "keys" }, ...keys),
      ),
    );
  }

  private pageLink(words: string): HTMLAnchorElement {
    const link = h("a", { class: "to-page", href: this.lab.options.page }, words);
    this.links.push(link);
    return link;
  }

  private button(
    name: "play" | "step" | "reset",
    words: string,
    onclick: () => void,
    more = "",
  ): HTMLButtonElement {
    return h(
      "button",
      { type: "button", class: `${name} ${more}`, onclick },
      icon(name),
      h("span", {}, words),
    );
  }

  // ------------------------------------------------------------------------------------------------ what is shown

  /** Bring all of it up to date. */
  show(): void {
    const { lab } = this;
    const { state, setting } = lab;
    this.element.dataset.step = String(state?.steps ?? 0);
    this.element.dataset.running = String(lab.wanted);
    this.showPlaying();
    say(this.counts, countWords(state));
    say(
      this.rate,
      state?.running && state.stepsPerSecond
        ? `${number(state.stepsPerSecond, 2)} steps a second`
        : "",
    );
    this.showModes();
    this.showPlayers();
    this.showDrawing();
    if (setting === this.shown) return;
    this.shown = setting;
    this.showSetting(setting);
  }

  private showSetting(setting: Setting): void {
    for (const one of this.knobs) one.show(setting);
    const name = nameOf(setting);
    this.preset.value = name;
    say(this.paper, `Setting: ${presetOf(name)?.title ?? "your own"}.`);
    const own = setting.data === "points";
    this.pad.element.hidden = !own;
    this.drawing.hidden = !own;
    this.showDrawing();
    say(this.note, marksOf(setting).length ? " dotted: the critic cannot tell" : "");
    say(this.line, lineWords(setting.game));
    endWords(setting.game).forEach((words, k) => say(this.ends[k], words));
    for (const link of this.links) link.href = this.address();
    if (this.lab.options.layout === "full") this.showCode();
  }

  private address(): string {
    try {
      return addressOf(this.lab.options.page, this.lab.setting);
    } catch {
      return this.lab.options.page;
    }
  }

  private showPlaying(): void {
    const { lab, playButton } = this;
    const name = lab.wanted ? "pause" : "play";
    if (playButton.dataset.does !== name) {
      playButton.dataset.does = name;
      playButton.replaceChildren(icon(name), h("span", {}, lab.wanted ? "Pause" : "Play"));
    }
    for (const [step, button] of this.stops)
      button.setAttribute("aria-disabled", String(lab.passed(step)));
    playButton.hidden = lab.options.layout === "small" && !lab.wanted && lab.state === null;
    this.start.hidden = lab.wanted || lab.state !== null || lab.setting.data === "points";
  }

  private showModes(): void {
    const { state } = this.lab;
    const modes = state?.modes ?? null;
    this.modes.classList.toggle("none", !modes);
    if (!modes) {
      const { still } = this.lab;
      const none = still ? `A still: step ${still.steps} of such a training.` : "";
      say(this.modesText, state ? "These data have no modes to count." : none);
      this.bars.replaceChildren();
      return;
    }
    say(this.modesText, `${modesWords(modes.found, modes.of)}, quality ${percent(modes.quality)}`);
    if (this.lab.options.layout === "small") {
      say(this.modesText, modesWords(modes.found, modes.of));
      return;
    }
    while (this.bars.children.length > modes.of) this.bars.lastChild!.remove();
    while (this.bars.children.length < modes.of) this.bars.append(h("span"));
    const most = Math.max(...modes.hits, 1);
    modes.hits.forEach((hits, k) => {
      const bar = this.bars.children[k] as HTMLElement;
      bar.className = hits ? "" : "missed";
      bar.style.setProperty("--share", String(hits / most));
    });
  }

  private showPlayers(): void {
    const { state, setting, wanted, speed } = this.lab;
    const turning = state && (!wanted || SPEEDS[speed].by === "update");
    for (const name of ["critic", "generator"] as const) {
      const parts = this.players[name];
      if (!parts) continue;
      const of = name === "critic" ? setting.nCritic : setting.nGenerator;
      const done = turning && state.turn.player === name ? state.turn.done : 0;
      say(parts.dots, "●".repeat(done) + "○".repeat(of - done));
      parts.card.classList.toggle("next", Boolean(turning && state.turn.player === name));
      parts.card.classList.toggle("moved", state?.change?.player === name);
      const late = state?.losses[name].at(-1);
      say(parts.loss, late === undefined ? "" : `loss ${number(late)}`);
    }
  }

  private showDrawing(): void {
    if (this.drawing.hidden) return;
    const count = this.pad.points.length;
    if (!this.drawing.firstChild)
      this.drawing.append(
        h("p", {}),
        h("button", { type: "button", onclick: () => this.lab.clearPoints() }, "Clear the points"),
      );
    say(
      this.drawing.firstElementChild!,
      `Draw into the picture. ${count} of at most ${MOST_POINTS} points.`,
    );
  }

  private showCode(): void {
    try {
      say(this.code, toPython(checkSetting(this.lab.setting)));
    } catch (error) {
      say(this.code, `# ${(error as Error).message}`);
    }
  }

  /** The setting goes into the address of the page that is the laboratory's own. */
  link(): void {
    if (this.lab.options.layout !== "full") return;
    try {
      history.replaceState(null, "", new URL(addressOf(location.href, this.lab.setting)).hash);
    } catch {
      // A setting that cannot be used is not linked to.
    }
  }

  /** What the latest update did; without it, what to do. */
  say(text: string): void {
    say(this.said, text || this.hint());
  }

  private hint(): string {
    const { state, setting } = this.lab;
    const preset = presetOf(nameOf(setting));
    if (preset && state && state.steps >= preset.steps) return preset.says;
    if (!state) return "Press Train: the orange samples follow the arrows, which the critic draws.";
    if (state.running) return "Both players learn in turns. Slow motion shows each update.";
    const { nCritic, nGenerator } = setting;
    return state.steps
      ? `Step ${state.steps}: ${times(nCritic)} of the critic, then ${times(nGenerator)} of the generator.`
      : "";
  }

  complain(text: string): void {
    say(this.complaint, text);
    this.complaint.hidden = !text;
  }

  announce(text: string): void {
    say(this.live, text);
  }

  loading(on: boolean): void {
    this.element.classList.toggle("loading", on);
    if (on) say(this.said, "Loading the trainer …");
  }

  private key(event: KeyboardEvent): void {
    const target = event.target as HTMLElement;
    const typing = target.matches("select, input:not([type=range]):not([type=checkbox]), textarea");
    if (
      typing ||
      event.ctrlKey ||
      event.metaKey ||
      event.altKey ||
      this.lab.options.layout === "small"
    )
      return;
    const found = KEYS[event.key.toLowerCase()];
    if (!found) return;
    event.preventDefault();
    found[1](this.lab);
  }
}

function countWords(state: { steps: number; updates: Record<Player, number> } | null): string {
  if (!state) return "step 0";
  const { steps, updates } = state;
  const count = (n: number) => n.toLocaleString("en");
  return `step ${count(steps)} (updates: critic ${count(updates.critic)}, generator ${count(updates.generator)})`;
}

function times(updates: number): string {
  return updates === 1 ? "one update" : `${updates} updates`;
}
