/** Both losses over the steps, each named at the end of its line. */
import type { Palette } from "./colours.ts";
import { type History, rangeOf, thinned, ticks } from "./history.ts";

/** A height that a loss is compared with. */
export interface Mark {
  value: number;
  words: string;
}

const MARGIN = { left: 40, right: 66, top: 8, bottom: 20 };

export class Curves {
  private readonly pen: CanvasRenderingContext2D;
  private range: [number, number] | null = null;

  constructor(readonly canvas: HTMLCanvasElement) {
    this.pen = canvas.getContext("2d", { willReadFrequently: true })!; // in memory: quick without a GPU, too
  }

  clear(): void {
    this.range = null;
  }

  draw(history: History, marks: readonly Mark[], colours: Palette): void {
    const { canvas, pen } = this;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (!width) return;
    const ratio = Math.min(devicePixelRatio, 2);
    const pixels = [Math.round(width * ratio), Math.round(height * ratio)];
    if (canvas.width !== pixels[0] || canvas.height !== pixels[1])
      [canvas.width, canvas.height] = pixels;
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    pen.font = `12px ${getComputedStyle(canvas).fontFamily}`;
    const inner = width - MARGIN.left - MARGIN.right;
    const lines = [
      {
        name: "critic",
        colour: colours.critic,
        dash: [7, 2],
        points: thinned(history.critic, inner / 2),
      },
      {
        name: "generator",
        colour: colours.generator,
        dash: [],
        points: thinned(history.generator, inner / 2),
      },
    ];
    const range = this.settle(
      rangeOf(
        lines.flatMap(({ points }) => points.map(([, value]) => value)),
        marks.map(({ value }) => value),
      ),
    );
    const steps = Math.max(history.critic.length, 10);
    const x = (step: number) => MARGIN.left + (step / steps) * inner;
    const y = (value: number) =>
      MARGIN.top +
      ((range[1] - value) / (range[1] - range[0])) * (height - MARGIN.top - MARGIN.bottom);
    this.drawAxes(range, marks, steps, { x, y, width, height }, colours);
    this.drawMarks(marks, { x, y, width, height }, colours);
    pen.save();
    pen.beginPath();
    pen.rect(MARGIN.left, 0, inner, height - MARGIN.bottom);
    pen.clip();
    pen.lineJoin = "round";
    for (const { points, colour, dash } of lines) {
      pen.strokeStyle = colour;
      pen.lineWidth = 1.8;
      pen.setLineDash(dash);
      pen.beginPath();
      for (const [step, value] of points) pen.lineTo(x(step), y(value));
      if (points.length === 1) pen.arc(x(points[0][0]), y(points[0][1]), 2, 0, 2 * Math.PI);
      pen.stroke();
    }
    pen.restore();
    const ends = lines
      .filter(({ points }) => points.length)
      .map((line) => {
        const late = line.points.slice(-8).map(([, value]) => value);
        const at = y(late.reduce((a, b) => a + b, 0) / late.length);
        return { ...line, at: Math.max(8, Math.min(height - MARGIN.bottom - 6, at)) };
      })
      .sort((a, b) => a.at - b.at);
    if (ends.length === 2 && ends[1].at - ends[0].at < 15) {
      const middle = Math.max(
        16,
        Math.min(height - MARGIN.bottom - 14, (ends[0].at + ends[1].at) / 2),
      );
      [ends[0].at, ends[1].at] = [middle - 7.5, middle + 7.5];
    }
    pen.textAlign = "left";
    pen.textBaseline = "middle";
    for (const { name, colour, at } of ends) {
      pen.fillStyle = colour;
      pen.fillText(name, width - MARGIN.right + 6, at);
    }
  }

  /** The range that is shown: wider at once, narrower only when much of it is empty, so that the axis keeps still. */
  private settle([low, high]: [number, number]): [number, number] {
    const old = this.range;
    if (old && old[0] <= low && old[1] >= high && high - low > 0.5 * (old[1] - old[0])) return old;
    return (this.range = [low, high]);
  }

  private drawAxes(
    range: [number, number],
    marks: readonly Mark[],
    steps: number,
    { y, width, height }: Place,
    colours: Palette,
  ): void {
    const { pen } = this;
    pen.fillStyle = colours.muted;
    pen.strokeStyle = colours.muted;
    pen.lineWidth = 1;
    pen.textAlign = "right";
    pen.textBaseline = "middle";
    pen.globalAlpha = 0.25;
    pen.beginPath();
    for (const tick of ticks(range)) {
      pen.moveTo(MARGIN.left, y(tick));
      pen.lineTo(width - MARGIN.right, y(tick));
    }
    pen.stroke();
    pen.globalAlpha = 1;
    const free = (tick: number) => marks.every(({ value }) => Math.abs(y(tick) - y(value)) > 13);
    for (const tick of ticks(range).filter(free))
      pen.fillText(short(tick), MARGIN.left - 6, y(tick));
    pen.textBaseline = "alphabetic";
    pen.textAlign = "left";
    pen.fillText("step 0", MARGIN.left, height - 4);
    pen.textAlign = "right";
    pen.fillText(steps.toLocaleString("en"), width - MARGIN.right, height - 4);
  }

  private drawMarks(marks: readonly Mark[], { y, width }: Place, colours: Palette): void {
    const { pen } = this;
    pen.strokeStyle = pen.fillStyle = colours.ink;
    pen.lineWidth = 1.2;
    pen.textAlign = "right";
    pen.textBaseline = "middle";
    for (const { value, words } of marks) {
      pen.setLineDash([1.5, 3]);
      pen.beginPath();
      pen.moveTo(MARGIN.left, y(value));
      pen.lineTo(width - MARGIN.right, y(value));
      pen.stroke();
      pen.fillText(words, MARGIN.left - 6, y(value));
    }
    pen.setLineDash([]);
  }
}

interface Place {
  x(step: number): number;
  y(value: number): number;
  width: number;
  height: number;
}

function short(value: number): string {
  return String(Number(value.toPrecision(3))).replace("-", "−");
}
