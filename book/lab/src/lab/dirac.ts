/** The Dirac-GAN, two numbers that chase each other: data at 0, a sample at θ, and a critic φx. */
import {
  contraction,
  DIRAC,
  type DiracSetting,
  diracStep,
  type Place,
  velocity,
} from "../engine/dirac.ts";
import { CHOICES, type Game } from "../engine/setting.ts";
import { onTheme, type Palette, palette } from "./colours.ts";
import { arrange, calm, h, keepInSight, newId, say } from "./dom.ts";
import { icon } from "./icons.ts";
import { number } from "./words.ts";

const START: Place = [1, 0];
/** The phase plane is [-REACH, REACH]². */
const REACH = 2;
const MOST_STEPS = 3000;
/** Milliseconds from one step to the next while it plays. */
const PAUSE = 40;
/** Milliseconds between two sentences for screen readers. */
const QUIET = 5000;

export class DiracLab {
  setting: DiracSetting = { ...DIRAC };
  path: Place[] = [START];
  private start: Place = START;
  private playing = false;
  private visible = true;
  private due = 0;
  private spoken = 0;
  private drawing = 0;
  private readonly plane = h("canvas", { class: "plane", role: "img" });
  private readonly line = h("canvas", { class: "line-picture", role: "img" });
  private readonly curve = h("canvas", { class: "curves", role: "img" });
  private readonly said = h("p", { class: "said" });
  private readonly live = h("p", { class: "gan-hidden", role: "status", "aria-live": "polite" });
  private readonly playButton: HTMLButtonElement;
  private readonly show: (() => void)[] = [];
  readonly element: HTMLElement;

  constructor(readonly host: HTMLElement) {
    const button = (name: "play" | "step" | "reset", words: string, onclick: () => void) =>
      h("button", { type: "button", class: name, onclick }, icon(name), h("span", {}, words));
    this.playButton = button("play", "Play", () => this.toggle());
    this.playButton.classList.add("main");
    this.plane.onpointerdown = (event) => this.place(event);
    const picture = h("div", { class: "picture" }, this.plane);
    const side = h(
      "div",
      { class: "side" },
      h("p", { class: "title" }, "The sample, the data, and the critic’s slope"),
      this.line,
      this.said,
      h("p", { class: "title" }, "Distance from the goal, by steps"),
      h("div", { class: "graph" }, this.curve),
    );
    const bar = h(
      "div",
      { class: "bar" },
      this.playButton,
      button("step", "One step", () => this.step()),
      button("reset", "Reset", () => this.reset()),
    );
    this.element = h(
      "section",
      { class: "lab lab-embedded lab-dirac", "aria-label": "The Dirac-GAN" },
      picture,
      h("div", { class: "knobs" }, ...this.knobs()),
      this.live,
    );
    arrange(picture, bar, { wide: [side], phone: [side] });
    keepInSight(picture, this.element);
    host.replaceChildren(this.element);
    onTheme(() => this.drawAll());
    new ResizeObserver(() => this.redraw()).observe(this.element);
    new IntersectionObserver(
      (entries) => void (this.visible = entries.at(-1)!.isIntersecting),
    ).observe(this.plane);
    this.refresh();
  }

  // ------------------------------------------------------------------------------------------------ controls

  private knobs(): HTMLElement[] {
    return [
      this.slider(
        "γ, the weight of R1",
        [0, 2],
        40,
        () => this.setting.weight,
        (weight) => ({ weight }),
      ),
      this.slider(
        "Learning rate",
        [0.01, 1],
        40,
        () => this.setting.rate,
        (rate) => ({ rate }),
        true,
      ),
      this.menu(
        "Updates",
        { simultaneous: "both at once", alternating: "critic first, then generator" },
        () => this.setting.order,
        (order) => ({ order: order as DiracSetting["order"] }),
      ),
      this.menu(
        "Loss",
        CHOICES.game,
        () => this.setting.game,
        (game) => ({ game: game as Game }),
      ),
      this.slider(
        "Start: θ",
        [-REACH, REACH],
        40,
        () => this.start[0],
        (theta) => this.begin([theta, this.start[1]]),
      ),
      this.slider(
        "Start: φ",
        [-REACH, REACH],
        40,
        () => this.start[1],
        (phi) => this.begin([this.start[0], phi]),
      ),
    ];
  }

  private slider(
    label: string,
    [least, most]: [number, number],
    stops: number,
    read: () => number,
    write: (value: number) => Partial<DiracSetting>,
    log = false,
  ): HTMLElement {
    const id = newId();
    const input = h("input", { id, type: "range", min: 0, max: stops, step: 1 });
    const output = h("output", { for: id });
    const at = (stop: number) => {
      const share = stop / stops;
      return Number(
        (log ? least * (most / least) ** share : least + (most - least) * share).toPrecision(2),
      );
    };
    input.oninput = () => this.change(write(at(input.valueAsNumber)));
    this.show.push(() => {
      const value = read();
      const share = log
        ? Math.log(value / least) / Math.log(most / least)
        : (value - least) / (most - least);
      input.value = String(Math.round(stops * share));
      input.setAttribute("aria-valuetext", number(value));
      say(output, number(value));
    });
    return h("div", { class: "knob" }, h("label", { for: id }, label), output, input);
  }

  private menu(
    label: string,
    options: Record<string, string>,
    read: () => string,
    write: (value: string) => Partial<DiracSetting>,
  ): HTMLElement {
    const id = newId();
    const entries = Object.entries(options);
    const select = h(
      "select",
      { id },
      ...entries.map(([value, words]) => h("option", { value }, words)),
    );
    select.onchange = () => this.change(write(select.value));
    this.show.push(() => void (select.value = read()));
    return h("div", { class: "knob" }, h("label", { for: id }, label), select);
  }

  /** A new place to start from. */
  private begin(start: Place): Partial<DiracSetting> {
    this.start = start;
    return {};
  }

  private place(event: PointerEvent): void {
    const { left, top, width, height } = this.plane.getBoundingClientRect();
    const theta = ((event.clientX - left) / width) * 2 * REACH - REACH;
    const phi = REACH - ((event.clientY - top) / height) * 2 * REACH;
    this.change(this.begin([Number(theta.toFixed(1)), Number(phi.toFixed(1))]));
  }

  /** Another setting begins anew, and goes on if it played. */
  change(part: Partial<DiracSetting>): void {
    this.setting = { ...this.setting, ...part };
    this.path = [this.start];
    this.refresh();
  }

  toggle(): void {
    this.playing = !this.playing;
    if (this.path.length > MOST_STEPS) this.path = [this.start];
    this.refresh();
    this.redraw();
  }

  step(): void {
    this.playing = false;
    this.advance(1);
    this.refresh();
    say(this.live, this.said.textContent!);
  }

  reset(): void {
    this.playing = false;
    this.path = [this.start];
    this.refresh();
  }

  private advance(steps: number): void {
    for (let k = 0; k < steps; k++) {
      const next = diracStep(this.setting, this.path.at(-1)!);
      if (Math.hypot(...next) > 1e3)
        this.playing = false; // far outside of any picture
      else this.path.push(next);
    }
  }

  // ------------------------------------------------------------------------------------------------ what is shown

  private refresh(): void {
    for (const one of this.show) one();
    const name = this.playing ? "pause" : "play";
    this.playButton.replaceChildren(icon(name), h("span", {}, this.playing ? "Pause" : "Play"));
    this.element.dataset.step = String(this.path.length - 1);
    say(this.said, this.words());
    this.redraw();
  }

  private words(): string {
    const [theta, phi] = this.path.at(-1)!;
    const { game, weight, rate, order } = this.setting;
    const here = `Step ${this.path.length - 1}: θ = ${fixed(theta)}, φ = ${fixed(phi)}. `;
    const pull =
      Math.abs(phi) < 0.005
        ? "The critic is level: the sample is not moved."
        : `The critic slopes ${phi > 0 ? "up" : "down"} to the right, and pushes the sample ${phi > 0 ? "right" : "left"}.`;
    if ((game !== "minimax" && game !== "nonsaturating") || order !== "simultaneous")
      return here + pull;
    const factor = contraction(weight, rate);
    const course =
      factor < 1 ? "they arrive" : factor > 1 ? "they do not arrive" : "they go round for ever";
    return `${here}${pull} Near the goal a step multiplies the distance by ${factor.toFixed(4)}: ${course}.`;
  }

  private redraw(): void {
    if (!this.drawing) this.drawing = requestAnimationFrame((now) => this.frame(now));
  }

  private frame(now: number): void {
    this.drawing = 0;
    const pause = calm() ? 500 : PAUSE;
    if (this.playing && this.visible && !document.hidden && now >= this.due) {
      this.advance(calm() ? 12 : 1);
      this.due = now + pause;
      if (this.path.length > MOST_STEPS) this.playing = false;
      this.refresh();
      if (now - this.spoken > QUIET) {
        this.spoken = now;
        say(this.live, this.said.textContent!);
      }
    }
    this.drawAll();
    if (this.playing) this.redraw();
  }

  private drawAll(): void {
    const colours = palette();
    this.drawPlane(colours);
    this.drawLine(colours);
    this.drawCurve(colours);
  }

  /** The phase plane: velocities, path, place and goal. */
  private drawPlane(colours: Palette): void {
    const { pen, width: side } = fitted(this.plane, colours);
    if (!side) return;
    const at = ([theta, phi]: Place): [number, number] => [
      ((theta + REACH) / (2 * REACH)) * side,
      ((REACH - phi) / (2 * REACH)) * side,
    ];
    pen.strokeStyle = colours.muted;
    pen.lineWidth = 1;
    segment(pen, [0, side / 2], [side, side / 2]);
    segment(pen, [side / 2, 0], [side / 2, side]);
    pen.fillStyle = colours.ink;
    pen.font = `14px ${getComputedStyle(this.plane).fontFamily}`;
    this.drawVelocities(pen, at, side, colours);
    label(pen, "φ, the critic’s slope", [side / 2 + 6, 16], colours);
    pen.textAlign = "right";
    label(pen, "θ, the sample", [side - 6, side / 2 - 6], colours);
    pen.strokeStyle = colours.samples;
    pen.lineWidth = 2;
    pen.beginPath();
    for (const place of this.path) pen.lineTo(...at(place));
    pen.stroke();
    const [x, y] = at([0, 0]);
    pen.strokeStyle = colours.data;
    pen.lineWidth = 3;
    segment(pen, [x - 7, y], [x + 7, y]);
    segment(pen, [x, y - 7], [x, y + 7]);
    dot(pen, at(this.path[0]), 4, colours.ground, colours.samples);
    dot(pen, at(this.path.at(-1)!), 6, colours.samples, colours.ground);
    const [theta, phi] = this.path.at(-1)!;
    this.plane.setAttribute(
      "aria-label",
      `Phase plane: the players are at θ ${theta.toFixed(2)}, φ ${phi.toFixed(2)}; the goal is 0, 0.`,
    );
  }

  private drawVelocities(
    pen: CanvasRenderingContext2D,
    at: (place: Place) => [number, number],
    side: number,
    colours: Palette,
  ): void {
    pen.strokeStyle = colours.muted;
    pen.lineWidth = 1.2;
    const gap = REACH / 5;
    for (let i = -4; i <= 4; i++)
      for (let j = -4; j <= 4; j++) {
        const place: Place = [i * gap, j * gap];
        const [u, v] = velocity(this.setting, place);
        const speed = Math.hypot(u, v);
        if (speed < 1e-6) continue;
        const length = Math.min(0.9, 0.5 * Math.sqrt(speed)) * (gap / (2 * REACH)) * side;
        const [x, y] = at(place);
        const [dx, dy] = [(u / speed) * length, (-v / speed) * length];
        const [tipX, tipY] = [x + dx / 2, y + dy / 2];
        segment(pen, [x - dx / 2, y - dy / 2], [tipX, tipY]);
        segment(pen, [tipX, tipY], [tipX - 0.3 * (dx + dy), tipY - 0.3 * (dy - dx)]);
        segment(pen, [tipX, tipY], [tipX - 0.3 * (dx - dy), tipY - 0.3 * (dy + dx)]);
      }
  }

  /** The line on which data and sample lie, and the critic above it. */
  private drawLine(colours: Palette): void {
    const { pen, width, height } = fitted(this.line, colours);
    if (!width) return;
    const [theta, phi] = this.path.at(-1)!;
    const x = (value: number) => ((value + REACH) / (2 * REACH)) * width;
    const middle = height / 2;
    pen.strokeStyle = colours.muted;
    pen.lineWidth = 1;
    segment(pen, [0, middle], [width, middle]);
    pen.strokeStyle = colours.critic;
    pen.lineWidth = 2.5;
    const rise = (phi * REACH * height) / 5;
    segment(pen, [0, middle + rise], [width, middle - rise]);
    pen.font = `13px ${getComputedStyle(this.line).fontFamily}`;
    pen.fillStyle = colours.data;
    pen.fillRect(x(0) - 5, middle - 5, 10, 10);
    pen.textAlign = "center";
    label(pen, "data", [x(0), middle + 22], colours);
    const place = Math.max(8, Math.min(width - 8, x(theta)));
    dot(pen, [place, middle], 7, colours.samples, colours.ground);
    if (Math.abs(theta) > 0.35) {
      pen.fillStyle = colours.samples;
      label(pen, "sample", [Math.max(26, Math.min(width - 26, place)), middle + 22], colours);
    }
    const [pull] = velocity(this.setting, [theta, phi]);
    if (Math.abs(pull) > 0.01) {
      const tip = place + Math.sign(pull) * Math.min(40, 12 + 40 * Math.abs(pull));
      pen.strokeStyle = colours.ink;
      pen.lineWidth = 2;
      segment(pen, [place, middle - 14], [tip, middle - 14]);
      segment(pen, [tip, middle - 14], [tip - 5 * Math.sign(pull), middle - 18]);
      segment(pen, [tip, middle - 14], [tip - 5 * Math.sign(pull), middle - 10]);
    }
    const words = `The sample is at ${theta.toFixed(2)}, the data at 0, the critic’s slope is ${phi.toFixed(2)}.`;
    this.line.setAttribute("aria-label", words);
  }

  /** The distance over the steps, on a logarithmic scale. */
  private drawCurve(colours: Palette): void {
    const { pen, width, height } = fitted(this.curve, colours);
    if (!width) return;
    const [left, bottom] = [44, height - 20];
    const logs = this.path.map((place) => Math.log10(Math.max(Math.hypot(...place), 1e-4)));
    const [low, high] = [
      Math.min(-1, Math.floor(Math.min(...logs))),
      Math.max(0.5, Math.ceil(Math.max(...logs))),
    ];
    const y = (value: number) => 8 + ((high - value) / (high - low)) * (bottom - 8);
    const steps = Math.max(50, logs.length - 1);
    pen.font = `12px ${getComputedStyle(this.curve).fontFamily}`;
    pen.fillStyle = colours.muted;
    pen.strokeStyle = colours.muted;
    pen.textAlign = "right";
    pen.textBaseline = "middle";
    for (let power = Math.ceil(low); power <= high; power++) {
      pen.fillText(String(Number((10 ** power).toPrecision(1))), left - 6, y(power));
      pen.globalAlpha = 0.25;
      segment(pen, [left, y(power)], [width, y(power)]);
      pen.globalAlpha = 1;
    }
    pen.textBaseline = "alphabetic";
    pen.fillText(String(steps), width, height - 4);
    pen.textAlign = "left";
    pen.fillText("step 0", left, height - 4);
    pen.strokeStyle = colours.samples;
    pen.lineWidth = 2;
    pen.beginPath();
    logs.forEach((value, k) => pen.lineTo(left + (k / steps) * (width - left), y(value)));
    pen.stroke();
    const distance = Math.hypot(...this.path.at(-1)!);
    this.curve.setAttribute("aria-label", `The distance from the goal is ${number(distance)}.`);
  }
}

/** Two digits behind the point, with a true minus sign. */
function fixed(value: number): string {
  return value.toFixed(2).replace("-", "−");
}

/** The pen of a canvas that has the size at which it is shown, wiped clean. */
function fitted(canvas: HTMLCanvasElement, colours: Palette) {
  const pen = canvas.getContext("2d")!;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  const ratio = Math.min(devicePixelRatio, 2);
  const [across, down] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== across || canvas.height !== down)
    [canvas.width, canvas.height] = [across, down];
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.fillStyle = colours.ground;
  pen.fillRect(0, 0, width, height);
  pen.textBaseline = "alphabetic";
  pen.textAlign = "left";
  return { pen, width, height };
}

function segment(
  pen: CanvasRenderingContext2D,
  from: [number, number],
  to: [number, number],
): void {
  pen.beginPath();
  pen.moveTo(...from);
  pen.lineTo(...to);
  pen.stroke();
}

/** Words with the ground around them, so that no line strikes them through. */
function label(
  pen: CanvasRenderingContext2D,
  words: string,
  at: [number, number],
  { ground }: Palette,
): void {
  pen.strokeStyle = ground;
  pen.lineWidth = 5;
  pen.lineJoin = "round";
  pen.strokeText(words, ...at);
  pen.fillText(words, ...at);
}

function dot(
  pen: CanvasRenderingContext2D,
  at: [number, number],
  radius: number,
  fill: string,
  rim: string,
): void {
  pen.beginPath();
  pen.arc(...at, radius, 0, 2 * Math.PI);
  pen.fillStyle = fill;
  pen.strokeStyle = rim;
  pen.lineWidth = 2;
  pen.fill();
  pen.stroke();
}
