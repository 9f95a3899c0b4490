/** A laboratory in the page: the picture, the players, the controls, and the worker behind them. */
import { makeData } from "../engine/data.ts";
import {
  type Change,
  type Command,
  type DataReport,
  encodeSetting,
  type Player,
  type Report,
  type Setting,
  type State,
  VIEW,
  type View,
  checkSetting,
} from "../engine/protocol.ts";
import { nameOf, settingOf } from "./chapters.ts";
import { onTheme, palette } from "./colours.ts";
import { contour } from "./contour.ts";
import { type Mark, Curves } from "./curves.ts";
import { calm } from "./dom.ts";
import { History } from "./history.ts";
import type { KnobName } from "./knobs.ts";
import { Pad } from "./pad.ts";
import { Panel } from "./panel.ts";
import { type Box, boxOf, Plane, type Scene } from "./plane.ts";
import { meanScore, type Scale, scaleOf } from "./scale.ts";
import poster from "poster:penalised";
import { Trainer } from "./trainer.ts";
import { changeWords, planeWords, summary } from "./words.ts";

/** full: a page of its own; small: picture and play; embedded: in a chapter, with a few knobs. */
export type Layout = "full" | "small" | "embedded";

export interface Options {
  layout: Layout;
  /** Of a preset, or a setting as in an address. */
  setting: string;
  knobs: KnobName[];
  /** The chapter whose presets are offered; null for all. */
  chapter: number | null;
  /** The address of the page where all knobs are. */
  page: string;
}

/** What may be drawn or left out. */
export const LAYERS = {
  data: "data",
  samples: "samples",
  average: "averaged samples (EMA)",
  field: "critic",
  arrows: "arrows",
} as const;
export type Layer = keyof typeof LAYERS;

/** How fast it plays. */
export const SPEEDS = [
  { words: "full speed", pace: "full", by: "step" },
  { words: "20 steps a second", pace: 20, by: "step" },
  { words: "3 steps a second", pace: 3, by: "step" },
  { words: "slow motion: by update", pace: 1, by: "update" },
] as const;

/** Steps to which it plays by one button, and rests there. */
export const STOPS = [50, 200, 400];

/** What is drawn of a state. */
type Still = Pick<
  State,
  "steps" | "box" | "field" | "samples" | "ema" | "arrows" | "modes" | "change"
>;

const STILL: Still = {
  steps: poster.steps,
  box: poster.box,
  field: Float32Array.from(poster.field),
  samples: Float32Array.from(poster.samples),
  ema: new Float32Array(),
  arrows: new Float32Array(),
  modes: poster.modes,
  change: null,
};

/** Milliseconds in which samples glide to where an update put them. */
const GLIDE = 500;
/** How much more of the plane is shown at most when samples leave it. */
const FARTHEST = 32;
/** Milliseconds between two sentences for screen readers. */
const QUIET = 5000;

/** The one that learns at the moment: two at once would halve each other's speed. */
let active: Lab | null = null;

export class Lab {
  setting: Setting;
  state: State | null = null;
  /** What the page shows and what the reader presses. */
  readonly panel: Panel;
  readonly history = new History();
  /** Whether the reader wants it to run; it does while it can be seen. */
  wanted = false;
  /** The step at which it is to rest. */
  private goal = Infinity;
  speed = 0;
  layers: Record<Layer, boolean> = {
    data: true,
    samples: true,
    average: false,
    field: true,
    arrows: true,
  };
  /** A run over: only another start helps. */
  over = false;
  private data: DataReport;
  /** The part of the plane that is shown: the setting's, or a larger one while the samples are outside. */
  private box: Box;
  private zoom = 1;
  private trainer: Trainer | null = null;
  /** The trainer holds this setting. */
  private started = false;
  /** Starts that the trainer has not answered: states before its answer are of another run. */
  private unanswered = 0;
  private running = false;
  private visible = true;
  private lineBefore: number[] | null = null;
  private glide: { from: Float32Array; since: number } | null = null;
  private pull = 0;
  private drawing = 0;
  private spoken = -Infinity;
  /** Until then a sentence is left to be read. */
  private held = -Infinity;
  private readonly pad: Pad;
  private readonly plane: Plane;
  private readonly curves: Curves;

  constructor(
    readonly host: HTMLElement,
    readonly options: Options,
  ) {
    this.setting = settingOf(options.setting);
    this.data = preview(this.setting);
    this.box = boxOf(this.setting);
    this.pad = new Pad(
      () => this.box,
      (whole, words) => this.drew(whole, words),
    );
    this.pad.points = [...this.setting.points];
    this.panel = new Panel(this, this.pad);
    this.plane = new Plane(this.panel.plane);
    this.curves = new Curves(this.panel.curves);
    host.replaceChildren(this.panel.element);
    this.panel.plane.setAttribute("aria-label", planeWords(this.setting, null));
    this.panel.show();
    onTheme(() => this.draw(performance.now())); // at once: a page that is printed has no next frame
    new ResizeObserver(() => this.redraw()).observe(this.panel.element);
    new IntersectionObserver((entries) =>
      this.see(entries.at(-1)!.isIntersecting && !document.hidden),
    ).observe(this.panel.plane);
    document.addEventListener("visibilitychange", () =>
      this.see(!document.hidden && onScreen(this.panel.plane)),
    );
  }

  // ------------------------------------------------------------------------------------------------ the reader

  toggle(): void {
    if (this.wanted) this.pause();
    else this.play();
  }

  /** goal: the step at which it rests; without one it plays on. */
  play(goal = Infinity): void {
    if (this.passed(goal)) {
      this.say(`Step ${goal} is behind. Press Reset, then play to it.`);
      return;
    }
    if (!this.ensure()) return;
    this.goal = goal;
    if (active && active !== this) active.pause();
    active = this;
    this.wanted = true;
    this.resume();
    this.panel.show();
  }

  /** Whether there is nothing left to play to this step. */
  passed(goal: number): boolean {
    return (this.state?.steps ?? 0) >= goal;
  }

  pause(): void {
    this.rest();
    this.halt();
    this.panel.show();
  }

  step(): void {
    this.once({ kind: "step" });
  }

  update(player: Player | "next"): void {
    this.once({ kind: "update", player });
  }

  /** The same setting from its beginning. */
  reset(): void {
    this.rest();
    this.running = false;
    if (this.trainer && this.check()) this.start();
    this.panel.show();
  }

  /** settled: of a slider that was let go, or of what changes at once. */
  change(part: Partial<Setting>, settled: boolean): void {
    const rates = Object.keys(part).every((key) => key === "lrCritic" || key === "lrGenerator");
    if (!settled && !rates) return;
    const before = this.setting;
    this.setting = { ...before, ...part };
    if (part.points === undefined && this.setting.data === "points")
      this.setting.points = this.pad.points;
    const good = this.check();
    if (!good && this.setting.data !== "points")
      this.setting = { ...before }; // a copy: the controls show it anew
    else if (rates) this.changeRates();
    else this.renew(good);
    this.panel.show();
    this.panel.link();
  }

  /** Another setting altogether, by name or as in an address; it waits at step 0. Throws SettingError. */
  load(text: string): void {
    const setting = settingOf(text);
    this.rest();
    this.pad.points = [...setting.points];
    this.setting = setting;
    this.panel.complain("");
    this.renew(true);
    this.panel.show();
  }

  setSpeed(speed: number): void {
    this.speed = speed;
    if (this.running) this.resume();
    this.panel.show();
  }

  setLayer(layer: Layer, on: boolean): void {
    this.layers[layer] = on;
    if (this.started && (layer === "field" || layer === "arrows"))
      this.send({ kind: "view", view: this.view() });
    this.redraw();
  }

  clearPoints(): void {
    this.pad.clear();
  }

  // ------------------------------------------------------------------------------------------------ the trainer

  private send(command: Command): void {
    this.trainer?.send(command);
  }

  /** Whether a training of this setting is there; begun where there is none. */
  private ensure(): boolean {
    if (!this.check()) return false;
    if (!this.trainer) {
      this.panel.loading(true);
      this.trainer = new Trainer(
        (report) => this.hear(report),
        (message) => this.broken(message),
      );
    }
    if (!this.started || this.over) this.start();
    return true;
  }

  private start(): void {
    this.forget();
    this.started = true;
    this.unanswered += 1;
    this.send({ kind: "start", setting: checkSetting(this.setting), view: this.view() });
  }

  private forget(): void {
    this.state = this.glide = this.lineBefore = null;
    this.zoom = 1;
    this.box = boxOf(this.setting);
    this.over = false;
    this.pull = 0;
    this.history.clear();
    this.curves.clear();
    this.panel.say("");
    this.panel.complain("");
  }

  private view(): View {
    const { arrows, field } = this.layers;
    return {
      ...VIEW,
      box: this.box,
      field: field ? VIEW.field : 0,
      samples: this.options.layout === "small" ? 500 : VIEW.samples,
      arrows: arrows ? 200 : 0,
      frames: calm() ? 2 : VIEW.frames,
    };
  }

  private resume(): void {
    if (!this.visible) return;
    const { pace, by } = SPEEDS[this.speed];
    this.running = true;
    this.send({ kind: "run", pace, by, until: this.goal });
  }

  /** The reader does not want it to run. */
  private rest(): void {
    if (active === this) active = null;
    this.wanted = false;
  }

  private halt(): void {
    if (this.running) this.send({ kind: "pause" });
    this.running = false;
  }

  private see(visible: boolean): void {
    if (visible === this.visible) return;
    this.visible = visible;
    if (!this.wanted) return;
    if (visible) this.resume();
    else this.halt();
  }

  private once(command: Command): void {
    if (!this.ensure()) return;
    this.rest();
    this.running = false;
    this.send(command);
    this.panel.show();
  }

  private changeRates(): void {
    if (!this.started) return;
    const { lrCritic, lrGenerator } = this.setting;
    this.send({ kind: "rates", lrCritic, lrGenerator });
    if (!this.state?.steps) return;
    this.say("The new learning rate holds from now on. A link or a reset begins with it.");
  }

  /** A sentence that stays for a while. */
  private say(words: string): void {
    this.held = performance.now() + QUIET;
    this.panel.say(words);
    this.panel.announce(words);
  }

  /** Another setting: what was learned is gone, and what ran goes on with it. */
  private renew(good: boolean): void {
    this.running = false;
    this.started = false;
    this.forget();
    if (!good) {
      this.rest();
      this.data = { points: new Float32Array(0), modes: null };
      this.check();
    } else {
      this.data = preview(this.setting);
      if (this.trainer) {
        this.start();
        if (this.wanted) this.resume();
      }
    }
    this.panel.plane.setAttribute("aria-label", planeWords(this.setting, null));
    this.redraw();
  }

  /** Whether the setting can be trained; if not, a sentence says why. */
  private check(): boolean {
    try {
      checkSetting(this.setting);
      this.panel.complain("");
      return true;
    } catch (error) {
      this.panel.complain((error as Error).message);
      return false;
    }
  }

  private hear(report: Report): void {
    this.panel.loading(false);
    if (report.kind === "trouble") return this.trouble(report.message, report.over);
    if (report.kind === "data") {
      this.unanswered -= 1;
      this.data = report.data;
    } else if (this.unanswered === 0) this.take(report.state);
    this.redraw();
  }

  private trouble(message: string, over: boolean): void {
    this.unanswered = 0;
    this.over = over;
    this.rest();
    this.running = false;
    this.panel.complain(message);
    this.panel.show();
  }

  private broken(message: string): void {
    this.trainer?.end();
    this.trainer = null;
    this.started = false;
    this.panel.loading(false);
    this.trouble(message, false);
  }

  private take(state: State): void {
    const before = this.state;
    this.state = state;
    if (this.running && !state.running && state.steps >= this.goal) {
      this.rest();
      this.running = false;
    }
    this.history.add(state.losses);
    const { change } = state;
    this.lineBefore = change?.player === "critic" && before ? this.lineOf(before) : null;
    const moved = before && before !== state && !calm() && this.slow(change);
    this.glide = moved ? { from: before.samples, since: performance.now() } : null;
    if (change) this.panel.say(changeWords(change));
    else if (performance.now() > this.held) this.panel.say("");
    this.panel.show();
    this.speak(state);
    this.follow(state.samples);
  }

  /** Show more of the plane where most samples have left it, and less when they are back. */
  private follow(samples: Float32Array): void {
    const base = boxOf(this.setting);
    const inside = (zoom: number) => shareInside(samples, zoomed(base, zoom));
    let zoom = this.zoom;
    while (zoom < FARTHEST && inside(zoom) < 0.5) zoom *= 2;
    while (zoom > 1 && inside(zoom / 2) > 0.9) zoom /= 2;
    if (zoom === this.zoom) return;
    this.zoom = zoom;
    this.box = zoomed(base, zoom);
    this.send({ kind: "view", view: this.view() });
  }

  /** Whether there is time for samples to glide. */
  private slow(change: Change | null): boolean {
    if (change) return change.player === "generator";
    return !this.running || SPEEDS[this.speed].pace === 3;
  }

  private speak(state: State): void {
    const now = performance.now();
    if (state.running && now - this.spoken < QUIET) return;
    this.spoken = now;
    this.panel.plane.setAttribute("aria-label", planeWords(this.setting, state));
    this.panel.announce(state.change ? changeWords(state.change) : summary(state));
  }

  // ------------------------------------------------------------------------------------------------ the picture

  /** Draw with the next frame. */
  redraw(): void {
    if (!this.drawing) this.drawing = requestAnimationFrame((now) => this.draw(now));
  }

  private draw(now: number): void {
    this.drawing = 0;
    const start = performance.now();
    const colours = palette();
    const share = this.glide ? Math.min(1, (now - this.glide.since) / GLIDE) : 1;
    this.plane.draw(this.scene(share), colours);
    if (this.options.layout !== "small")
      this.curves.draw(this.history, marksOf(this.setting), colours);
    this.host.dataset.drawn = (performance.now() - start).toFixed(1);
    if (this.glide && share < 1) this.redraw();
  }

  /** A still of another run of this setting, while there is none of this one. */
  get still(): Still | null {
    return !this.state && nameOf(this.setting) === poster.preset ? STILL : null;
  }

  private scene(share: number): Scene {
    const { layers } = this;
    const state = this.state ?? this.still;
    const box = state?.box ?? this.box;
    const size = state?.field.length ? Math.round(Math.sqrt(state.field.length)) : 0;
    const from = this.glide?.from;
    const samples =
      state && (from && share < 1 ? between(from, state.samples, share) : state.samples);
    const byGenerator = state?.change?.player === "generator";
    const ownPoints = this.setting.data === "points";
    return {
      box,
      data: layers.data ? this.data.points : null,
      modes: this.data.modes,
      sigma: this.setting.sigma,
      hits: state?.modes?.hits ?? null,
      field: layers.field && size ? state!.field : null,
      size,
      scale: size ? this.scale(state!, size) : null,
      lineBefore: this.lineBefore,
      samples: layers.samples ? samples : null,
      samplesBefore: byGenerator && from ? from : null,
      average: layers.average ? (state?.ema ?? null) : null,
      arrows: layers.arrows && state?.arrows.length ? state.arrows : null,
      pull: this.fullPull(state?.arrows),
      drawn: ownPoints ? this.pad.points : null,
      pen: ownPoints ? this.pad.pen : null,
    };
  }

  private scale(state: Still, size: number): Scale {
    const at = (points: Float32Array) => meanScore(state.field, size, state.box, points);
    return scaleOf(this.setting.game, state.field, at(this.data.points), at(state.samples));
  }

  private lineOf(state: State): number[] | null {
    const size = Math.round(Math.sqrt(state.field.length));
    return size ? contour(state.field, size, this.scale(state, size).middle) : null;
  }

  /** The strongest pulls of late are drawn at full length: so one sees when they fade away. */
  private fullPull(arrows: Float32Array | undefined): number {
    if (!arrows?.length) return this.pull || 1;
    const lengths = Array.from({ length: arrows.length / 2 }, (_, k) =>
      Math.hypot(arrows[2 * k], arrows[2 * k + 1]),
    );
    const high = lengths.sort((a, b) => a - b)[Math.floor(0.9 * lengths.length)];
    this.pull = Math.max(high, 0.998 * this.pull, 1e-12);
    return this.pull;
  }

  private drew(whole: boolean, words: string): void {
    if (words) this.panel.announce(words);
    if (whole) this.change({ points: [...this.pad.points] }, true);
    this.redraw();
  }
}

export function addressOf(page: string, setting: Setting): string {
  const address = new URL(page, location.href);
  address.hash = encodeSetting(setting);
  return address.href;
}

/** The data, before anything is trained. */
function preview(setting: Setting): DataReport {
  const { values, modes } = makeData(setting);
  return { points: values.slice(0, 2000), modes };
}

/** What a logistic game's losses come to when the critic cannot tell. */
export function marksOf({ game }: Setting): Mark[] {
  const critic = { value: 2 * Math.LN2, words: "ln 4" };
  if (game === "minimax") return [critic];
  return game === "nonsaturating" ? [critic, { value: Math.LN2, words: "ln 2" }] : [];
}

function between(from: Float32Array, to: Float32Array, share: number): Float32Array {
  const eased = share * share * (3 - 2 * share);
  return to.map((end, k) => from[k] + (end - from[k]) * eased);
}

function zoomed([left, right, bottom, top]: Box, zoom: number): Box {
  const [x, y, half] = [(left + right) / 2, (bottom + top) / 2, (zoom * (right - left)) / 2];
  return [x - half, x + half, y - half, y + half];
}

function shareInside(points: Float32Array, [left, right, bottom, top]: Box): number {
  let count = 0;
  for (let k = 0; k < points.length; k += 2)
    if (points[k] > left && points[k] < right && points[k + 1] > bottom && points[k + 1] < top)
      count += 1;
  return count / (points.length / 2);
}

function onScreen(element: Element): boolean {
  const { top, bottom } = element.getBoundingClientRect();
  return bottom > 0 && top < innerHeight;
}
