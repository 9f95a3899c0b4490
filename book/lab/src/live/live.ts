/** A model at work in the page: what is shown, and the controls that change it. */

import { Choice, element } from "./dom.ts";
import { directions, inner } from "./latent.ts";
import type { Maps } from "./layers.ts";
import type { Model } from "./networks.ts";
import { paint } from "./picture.ts";
import { encode, LARGEST_SEED, latent, python, REACH, start, type State } from "./state.ts";

export const AXES = 6; // directions with a slider
const STILLS = 9; // of a walk
const SAMPLES = 20; // at a time
const JUDGED = 200; // samples that the critic's scores are compared with
const SECONDS = 4; // of a walk
const CALM = 1000; // milliseconds that each still is shown to who asked for less motion

const TRY = {
  classes:
    "Keep the seed and ask for another digit. What stays the same: the slant, the thickness?",
  levels:
    "Draw new noise for the finer levels only. What was decided at 7 × 7, and what is left to them?",
  decoder:
    "Drag one direction slowly. Which strokes stay sharp, and where do they turn grey before another digit is there?",
  critic: " Then look at what the critic likes least: what gives it away?",
  plain:
    "Drag the walk slowly. Where does one digit become another, and is there a digit in between?",
};

export class Live {
  readonly root: HTMLDivElement;
  private readonly model: Model;
  private readonly name: string | null; // of the gallery; null for the reader's own file
  private readonly axes: Float32Array[];
  private readonly screens: HTMLCanvasElement[];
  private readonly words = element("output", { class: "live-words" });
  private readonly seed: HTMLInputElement;
  private readonly sliders: HTMLInputElement[];
  private readonly values: HTMLOutputElement[]; // that the sliders show
  private readonly strip: HTMLCanvasElement;
  private readonly scrubber: HTMLInputElement;
  private readonly play: HTMLButtonElement;
  private readonly ends = element("span", { class: "live-ends" });
  private readonly thumbs: HTMLCanvasElement[] = [];
  private readonly choices: { classes: Choice | null; samples: Choice };
  private readonly link = element("a", {}, "Link to what is shown");
  private readonly linked = element("output");
  private readonly code = element("pre", { tabindex: "0" });
  private readonly scores: { seed: number; score: number }[] = []; // the critic's, best first
  private readonly ranking: HTMLButtonElement;
  private readonly title = element("p", { class: "live-title" });
  private first = 0; // seed of the twenty that are listed
  private seeds: number[] = []; // of the samples in the grid
  private state: State;
  private playing = 0; // of requestAnimationFrame or setTimeout

  constructor(model: Model, name: string | null, state: State) {
    [this.model, this.name, this.state] = [model, name, state];
    const { generator } = model;
    const [, height, width] = generator.shape;
    const canvas = (className: string, columns = 1) =>
      element("canvas", { class: className, width: columns * width, height });
    this.axes = directions(generator, AXES);
    this.screens = generator.parts.map((_, k) => {
      const shrink = 2 ** (generator.parts.length - 1 - k);
      return element("canvas", {
        class: "live-screen",
        role: "img",
        width: width / shrink,
        height: height / shrink,
      });
    });
    const figures = this.screens.map((screen) => {
      const size = `${screen.height} × ${screen.width}`;
      return element(
        "figure",
        {},
        screen,
        ...(this.screens.length > 1 ? [element("figcaption", {}, size)] : []),
      );
    });

    this.seed = element("input", {
      type: "number",
      min: 0,
      max: LARGEST_SEED,
      step: 1,
      oninput: () =>
        this.seed.checkValidity() && this.seed.value && this.draw(Number(this.seed.value)),
    });
    const buttons = [
      this.button("New z", () => this.draw((this.state.seed + 1) % (LARGEST_SEED + 1))),
      element("label", { class: "live-seed" }, "seed ", this.seed),
    ];
    if (this.screens.length > 1) {
      buttons.push(
        this.button("New noise for the finer levels", () =>
          this.change({ detail: (this.state.detail ?? 0) + 1 }),
        ),
      );
    }
    this.sliders = this.axes.map((_, k) =>
      element("input", {
        type: "range",
        min: -REACH,
        max: REACH,
        step: 0.1,
        "aria-label": `Direction ${k + 1} of z`,
        oninput: () => this.hold(k, Number(this.sliders[k].value)),
      }),
    );
    this.values = this.axes.map(() => element("output", { "aria-hidden": "true" }));
    const directionsBox = element(
      "section",
      { class: "live-directions", "aria-label": "Directions of z" },
      element("p", { class: "live-title" }, "Drag z along six directions"),
      ...this.sliders.map((slider, k) =>
        element("div", { class: "live-axis" }, String(k + 1), slider, this.values[k]),
      ),
      this.button("Reset", () => this.change({ held: new Map() })),
    );

    this.strip = canvas("live-strip", STILLS);
    this.strip.setAttribute("role", "img");
    this.strip.onclick = (event) =>
      this.go((event.offsetX / this.strip.clientWidth) * (1 + 1 / STILLS) - 0.5 / STILLS);
    this.scrubber = element("input", {
      type: "range",
      min: 0,
      max: 1,
      step: 0.01,
      "aria-label": "Place on the walk",
      oninput: () => this.go(Number(this.scrubber.value)),
    });
    this.play = this.button("Play", () => (this.playing ? this.stop() : this.run()));
    const walk = element(
      "section",
      { class: "live-walk", "aria-label": "A walk" },
      element("p", { class: "live-title" }, "A walk from one z to another"),
      this.strip,
      this.scrubber,
      element(
        "div",
        { class: "live-row" },
        this.play,
        this.button("Another end", () => this.change({ to: this.state.to + 1 })),
        this.ends,
      ),
    );

    const samples = Array.from({ length: SAMPLES }, (_, k) => {
      const made = canvas("live-thumb");
      this.thumbs.push(made);
      return element(
        "button",
        { title: "Take this one" },
        made,
        element("span", { class: "live-hidden" }, String(k)),
      );
    });
    const digits = Array.from({ length: generator.classes }, (_, label) => {
      const made = canvas("live-thumb");
      this.thumbs.push(made);
      return element("button", {}, made, element("span", {}, String(label)));
    });
    this.choices = {
      samples: new Choice("Samples", samples, (k) => this.draw(this.seeds[k])),
      classes: digits.length
        ? new Choice("The class to ask for", digits, (label) => this.change({ label }))
        : null,
    };
    this.choices.samples.group.classList.add("live-samples");
    const more = [
      this.button("Twenty more", () => this.list((this.first + SAMPLES) % LARGEST_SEED)),
    ];
    this.ranking = this.button("The critic's best and worst", () => this.rank());
    this.ranking.disabled = true;
    if (model.critics.length) more.push(this.ranking);
    const grid = element(
      "section",
      { class: "live-grid", "aria-label": "More samples" },
      this.title,
      this.choices.samples.group,
      element("div", { class: "live-row" }, ...more),
    );
    const classes = this.choices.classes?.group;
    classes?.classList.add("live-classes");
    const plain = generator.network === "decoder" ? TRY.decoder : TRY.plain;
    const hint = classes ? TRY.classes : this.screens.length > 1 ? TRY.levels : plain;
    const judged = model.critics.length ? TRY.critic : "";
    const foot = element("div", { class: "live-row live-foot" });
    if (name) {
      this.link.onclick = () => this.linked.replaceChildren("It is in the address bar now.");
      foot.append(this.link, this.linked);
    }
    this.root = element(
      "div",
      { class: this.screens.length > 1 ? "live-running live-stack" : "live-running" },
      element("div", { class: "live-show" }, ...figures, this.words),
      element(
        "div",
        { class: "live-controls" },
        ...(classes
          ? [element("p", { class: "live-title" }, "This z as every class; ask for one"), classes]
          : []),
        element("div", { class: "live-row" }, ...buttons),
        directionsBox,
        element("p", { class: "live-hint" }, element("strong", {}, "Try: "), hint + judged),
      ),
      walk,
      grid,
      foot,
      ...(name
        ? [
            element(
              "details",
              { class: "live-python" },
              element("summary", {}, "The same in Python"),
              this.code,
            ),
          ]
        : []),
    );
    this.list(SAMPLES * Math.floor(state.seed / SAMPLES));
    if (model.critics.length) this.judge();
  }

  private button(text: string, onclick: () => void): HTMLButtonElement {
    return element("button", { type: "button", class: "live-button", onclick }, text);
  }

  // ------------------------------------------------------------------------------------------------ what changes

  /** Another state altogether, as a link asks for it. */
  set(state: State): void {
    if (this.name && encode(this.name, state) === encode(this.name, this.state)) return;
    this.stop();
    this.state = state;
    this.list(SAMPLES * Math.floor(state.seed / SAMPLES));
  }

  private change(part: Partial<State>): void {
    this.state = { ...this.state, ...part };
    this.show(true);
  }

  /** Another z, at the start of a walk of its own. */
  private draw(seed: number): void {
    this.stop();
    this.change({ seed, to: seed + 1, t: 0, held: new Map(), detail: null });
  }

  /** Fill the grid with the samples of twenty seeds. */
  private list(first: number): void {
    this.title.textContent = "Twenty samples; take one";
    this.first = first;
    this.seeds = Array.from({ length: SAMPLES }, (_, k) => first + k);
    this.show(true);
  }

  /** Fill the grid with the critic's ten best of its samples, and its ten worst. */
  private rank(): void {
    this.title.textContent = `Of ${JUDGED} samples the critic's ten best, then its ten worst`;
    const order = [...this.scores.slice(0, SAMPLES / 2), ...this.scores.slice(-SAMPLES / 2)];
    this.seeds = order.map(({ seed }) => seed);
    this.show(true);
  }

  /** Score the samples of the first seeds, a few at a time: meanwhile the page answers. */
  private judge(): void {
    const { classes } = this.model.generator;
    for (let k = 0; k < SAMPLES; k++) {
      const seed = this.scores.length;
      const state = { ...start(), seed, label: classes ? seed % classes : 0 };
      this.scores.push({ seed, score: this.scoresOf(this.images(state), state.label).at(-1)! });
    }
    if (this.scores.length < JUDGED) setTimeout(() => this.judge());
    else {
      this.scores.sort((a, b) => b.score - a.score);
      this.ranking.disabled = false;
      this.show(false);
    }
  }

  private scoresOf(images: Maps[], label: number): number[] {
    return this.model.critics.map((critic, k) => critic(images[k], label, images[k - 1] ?? null));
  }

  private hold(k: number, value: number): void {
    this.change({ held: new Map(this.state.held).set(k, value) });
  }

  private go(t: number): void {
    this.stop();
    this.state = { ...this.state, t: Math.min(1, Math.max(0, t)) };
    this.show(false);
  }

  /** Play: from here to the end, and then on to the next one. */
  private run(): void {
    this.play.textContent = "Pause";
    this.words.setAttribute("aria-live", "off"); // nobody can listen to sixty sentences a second
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const next = (step: (now: number) => void) => {
      this.playing = calm
        ? window.setTimeout(() => step(performance.now()), CALM)
        : requestAnimationFrame(step);
    };
    let before = performance.now();
    const step = (now: number) => {
      if (!this.root.isConnected) return this.stop();
      const share = calm ? 1 / (STILLS - 1) : (now - before) / 1000 / SECONDS;
      before = now;
      const { t, to } = this.state;
      if (t < 1) {
        this.state = { ...this.state, t: Math.min(1, t + share) };
        this.show(false);
      } else this.change({ seed: to, to: to + 1, t: 0, detail: null });
      next(step);
    };
    next(step);
  }

  private stop(): void {
    if (!this.playing) return;
    cancelAnimationFrame(this.playing);
    clearTimeout(this.playing);
    this.playing = 0;
    this.play.textContent = "Play";
    this.words.removeAttribute("aria-live");
    this.show(false);
  }

  // ------------------------------------------------------------------------------------------------ what is shown

  private z(state: State): Float32Array {
    return latent(state, this.model.generator, this.axes);
  }

  private images(state: State, z = this.z(state)): Maps[] {
    return this.model.generator.levels(z, state.label);
  }

  /** Draw what is shown now; `all`: also the pictures beside it, which do not change along a walk. */
  private show(all: boolean): void {
    const { state } = this;
    const z = this.z(state);
    const images = this.images(state, z);
    images.forEach((image, k) => paint(this.screens[k], image));
    const words = this.describe(images);
    this.words.textContent = words;
    this.screens.forEach((screen, k) => {
      const level =
        images.length > 1 ? `Level ${k}, ${screen.height} by ${screen.width} pixels. ` : "";
      screen.setAttribute(
        "aria-label",
        `Drawn by the ${this.model.generator.network}. ${level}${words}`,
      );
    });
    this.scrubber.value = String(state.t);
    this.scrubber.setAttribute("aria-valuetext", `${Math.round(100 * state.t)} % of the way`);
    this.sliders.forEach((slider, k) => {
      slider.value = inner(z, this.axes[k]).toFixed(1);
      this.values[k].textContent = slider.value.replace("-", "−");
      slider.classList.toggle("live-held", state.held.has(k));
    });
    if (this.name && (all || !this.playing)) {
      const address = `#${encode(this.name, state)}`;
      if (this.link.getAttribute("href") !== address) this.linked.replaceChildren();
      this.link.href = address;
      this.code.textContent = python(this.name, state, this.model.generator);
    }
    if (all) this.beside();
    else if (!this.playing) this.thumbnails(SAMPLES); // the classes of this z
  }

  private beside(): void {
    const { state } = this;
    if (document.activeElement !== this.seed) this.seed.value = String(state.seed);
    for (let k = 0; k < STILLS; k++) {
      const image = this.images({ ...state, t: k / (STILLS - 1) }).at(-1)!;
      paint(this.strip, image, k * image.width);
    }
    this.strip.setAttribute(
      "aria-label",
      `Nine images from seed ${state.seed} to seed ${state.to}`,
    );
    this.ends.textContent = `from seed ${state.seed} to seed ${state.to}`;
    this.thumbnails(0);
  }

  private thumbnails(from: number): void {
    const { state, choices } = this;
    this.thumbs.slice(from).forEach((thumb, index) => {
      const k = from + index;
      const other: State =
        k < SAMPLES
          ? { ...state, seed: this.seeds[k], t: 0, held: new Map(), detail: null }
          : { ...state, label: k - SAMPLES };
      paint(thumb, this.images(other).at(-1)!);
      if (k < SAMPLES) thumb.nextElementSibling!.textContent = `Seed ${other.seed}`;
    });
    choices.samples.mark(this.seeds.indexOf(state.seed));
    choices.classes?.mark(state.label);
  }

  private describe(images: Maps[]): string {
    const { state, model } = this;
    const said = [`Seed ${state.seed}`];
    if (state.t) said.push(`${Math.round(100 * state.t)} % of the way to seed ${state.to}`);
    if (state.held.size) said.push(`moved along ${state.held.size} of the directions`);
    if (state.detail !== null) said.push(`finer levels with noise of seed ${state.detail}`);
    if (model.generator.classes) said.push(`asked for ${state.label}`);
    const scores = this.scoresOf(images, state.label);
    if (scores.length) {
      const below = this.scores.filter(({ score }) => score < scores.at(-1)!).length;
      const share = ` (above ${Math.round((100 * below) / JUDGED)} % of ${JUDGED} samples)`;
      const numbers = scores.map((score) => score.toFixed(2)).join(", ");
      said.push(`the critic's score ${numbers}${this.ranking.disabled ? "" : share}`);
    }
    return `${said.join(", ")}.`;
  }
}
