/** The picture: data, samples, the critic's field with its line, and the arrows that samples follow. */
import type { Point, Setting } from "../engine/setting.ts";
import { fieldColour, type Palette } from "./colours.ts";
import { contour } from "./contour.ts";
import type { Scale } from "./scale.ts";

export type Box = readonly [number, number, number, number];

/** What is to be drawn; what is null is not. Points lie in arrays of x, y, x, y, … */
export interface Scene {
  box: Box;
  data: Float32Array | null;
  modes: Float32Array | null;
  sigma: number;
  /** Good samples at each mode; a mode without any is dashed. */
  hits: readonly number[] | null;
  field: Float32Array | null;
  size: number;
  scale: Scale | null;
  /** The field's line before the latest update of the critic. */
  lineBefore: number[] | null;
  samples: Float32Array | null;
  /** Where the samples were before the latest update of the generator. */
  samplesBefore: Float32Array | null;
  average: Float32Array | null;
  arrows: Float32Array | null;
  /** Length of an arrow's vector that is drawn at full length. */
  pull: number;
  /** The reader's own points, and the pen that keys move. */
  drawn: readonly Point[] | null;
  pen: Point | null;
}

/** The square of the plane that a setting needs: its data, and the place near 0 where a generator begins. */
export function boxOf({ data, size, shift, sigma, points }: Setting): Box {
  if (data === "points") {
    const far = Math.max(1.4, ...points.flat().map(Math.abs)) * 1.15;
    return [-far, far, -far, far];
  }
  const reach = 1.35 * size + 5 * sigma;
  const [left, right] = [Math.min(shift - reach, -0.6), Math.max(shift + reach, 0.6)];
  const half = Math.max((right - left) / 2, reach);
  return [(left + right) / 2 - half, (left + right) / 2 + half, -half, half];
}

/** Side of a square in which one arrow at most begins, as a share of the picture's. */
const APART = 0.075;

export class Plane {
  private readonly pen: CanvasRenderingContext2D;
  private readonly tint = document.createElement("canvas");
  private side = 0;

  constructor(readonly canvas: HTMLCanvasElement) {
    this.pen = canvas.getContext("2d")!;
  }

  draw(scene: Scene, colours: Palette): void {
    const { canvas, pen } = this;
    this.side = canvas.clientWidth;
    if (!this.side) return;
    const pixels = Math.round(this.side * Math.min(devicePixelRatio, 2));
    if (canvas.width !== pixels) canvas.width = canvas.height = pixels;
    pen.setTransform(pixels / this.side, 0, 0, pixels / this.side, 0, 0);
    pen.fillStyle = colours.ground;
    pen.fillRect(0, 0, this.side, this.side);
    if (scene.field && scene.scale) this.drawField(scene, scene.field, scene.scale, colours);
    if (scene.data) this.drawData(scene.data, scene, colours);
    if (scene.modes && scene.data) this.drawModes(scene.modes, scene, colours);
    if (scene.samples) this.drawSamples(scene.samples, scene, colours);
    if (scene.average) this.drawAverage(scene.average, scene, colours);
    if (scene.arrows && scene.samples) this.drawArrows(scene.arrows, scene.samples, scene, colours);
    if (scene.drawn) this.drawPoints(scene.drawn, scene, colours);
    if (scene.pen) this.drawPen(scene.pen, scene, colours);
  }

  /** Pixels from the left and from the top. */
  private place({ box: [left, right, bottom, top] }: Scene, x: number, y: number): Point {
    return [((x - left) / (right - left)) * this.side, ((top - y) / (top - bottom)) * this.side];
  }

  private drawField(scene: Scene, field: Float32Array, scale: Scale, colours: Palette): void {
    const { size } = scene;
    const { tint, pen, side } = this;
    tint.width = tint.height = size;
    const context = tint.getContext("2d")!;
    const image = context.createImageData(size, size);
    for (let row = 0; row < size; row++)
      for (let column = 0; column < size; column++) {
        const colour = fieldColour(colours, scale.shown(field[row * size + column]));
        image.data.set([...colour, 255], 4 * ((size - 1 - row) * size + column));
      }
    context.putImageData(image, 0, 0);
    pen.imageSmoothingEnabled = true;
    pen.imageSmoothingQuality = "high";
    pen.drawImage(tint, 0, 0, side, side);
    pen.strokeStyle = colours.critic;
    pen.lineWidth = 2;
    this.stroke(contour(field, size, scale.middle), size);
    if (!scene.lineBefore) return;
    pen.setLineDash([3, 4]);
    this.stroke(scene.lineBefore, size);
    pen.setLineDash([]);
  }

  private stroke(segments: number[], size: number): void {
    const { pen } = this;
    const unit = this.side / size;
    pen.beginPath();
    for (let k = 0; k < segments.length; k += 4) {
      pen.moveTo(segments[k] * unit, this.side - segments[k + 1] * unit);
      pen.lineTo(segments[k + 2] * unit, this.side - segments[k + 3] * unit);
    }
    pen.stroke();
  }

  private drawData(data: Float32Array, scene: Scene, colours: Palette): void {
    const { pen } = this;
    const width = this.side < 300 ? 2 : 2.6;
    pen.fillStyle = colours.data;
    pen.globalAlpha = 0.7;
    for (let k = 0; k < data.length; k += 2) {
      const [x, y] = this.place(scene, data[k], data[k + 1]);
      pen.fillRect(x - width / 2, y - width / 2, width, width);
    }
    pen.globalAlpha = 1;
  }

  /** A circle of three standard deviations around each mode: what counts as good. */
  private drawModes(modes: Float32Array, scene: Scene, colours: Palette): void {
    const { pen } = this;
    const radius = Math.max(5, ((3 * scene.sigma) / (scene.box[1] - scene.box[0])) * this.side);
    pen.strokeStyle = colours.data;
    pen.lineWidth = 1.5;
    for (let k = 0; k < modes.length / 2; k++) {
      const [x, y] = this.place(scene, modes[2 * k], modes[2 * k + 1]);
      pen.setLineDash(scene.hits?.[k] === 0 ? [2, 4] : []);
      pen.beginPath();
      pen.arc(x, y, radius, 0, 2 * Math.PI);
      pen.stroke();
    }
    pen.setLineDash([]);
  }

  private drawSamples(samples: Float32Array, scene: Scene, colours: Palette): void {
    const { pen } = this;
    const radius = this.side < 300 ? 2 : 2.4;
    const before = scene.samplesBefore;
    if (before) {
      pen.strokeStyle = colours.samples;
      pen.lineWidth = 1;
      pen.beginPath();
      for (let k = 0; k < samples.length; k += 2) {
        pen.moveTo(...this.place(scene, before[k], before[k + 1]));
        pen.lineTo(...this.place(scene, samples[k], samples[k + 1]));
      }
      pen.stroke();
    }
    for (const [colour, more] of [
      [colours.rim, 1],
      [colours.samples, 0],
    ] as const) {
      pen.fillStyle = colour;
      pen.beginPath();
      for (let k = 0; k < samples.length; k += 2) {
        const [x, y] = this.place(scene, samples[k], samples[k + 1]);
        pen.moveTo(x + radius + more, y);
        pen.arc(x, y, radius + more, 0, 2 * Math.PI);
      }
      pen.fill();
    }
  }

  private drawAverage(average: Float32Array, scene: Scene, colours: Palette): void {
    const { pen } = this;
    const arm = 2.6;
    pen.strokeStyle = colours.average;
    pen.lineWidth = 1.5;
    pen.beginPath();
    for (let k = 0; k < average.length; k += 2) {
      const [x, y] = this.place(scene, average[k], average[k + 1]);
      pen.moveTo(x - arm, y - arm);
      pen.lineTo(x + arm, y + arm);
      pen.moveTo(x + arm, y - arm);
      pen.lineTo(x - arm, y + arm);
    }
    pen.stroke();
  }

  /** Lengths go with the square root, so that weak pulls are still seen. */
  private drawArrows(
    arrows: Float32Array,
    samples: Float32Array,
    scene: Scene,
    colours: Palette,
  ): void {
    const { pen } = this;
    const longest = this.side * 0.07;
    const shafts = new Path2D();
    const taken = new Set<string>();
    const apart = APART * this.side;
    for (let k = 0; k < arrows.length; k += 2) {
      const pull = Math.hypot(arrows[k], arrows[k + 1]);
      const length = longest * Math.min(1.4, Math.sqrt(pull / scene.pull));
      if (!(length > 2)) continue;
      const [x, y] = this.place(scene, samples[k], samples[k + 1]);
      const cell = `${Math.floor(x / apart)} ${Math.floor(y / apart)}`;
      if (taken.has(cell)) continue;
      taken.add(cell);
      const [dx, dy] = [arrows[k] / pull, -arrows[k + 1] / pull];
      const [tipX, tipY] = [x + dx * length, y + dy * length];
      const head = Math.min(5, length / 2);
      shafts.moveTo(x, y);
      shafts.lineTo(tipX, tipY);
      shafts.moveTo(tipX - head * (dx + 0.6 * dy), tipY - head * (dy - 0.6 * dx));
      shafts.lineTo(tipX, tipY);
      shafts.lineTo(tipX - head * (dx - 0.6 * dy), tipY - head * (dy + 0.6 * dx));
    }
    pen.lineCap = "round";
    pen.strokeStyle = colours.rim;
    pen.lineWidth = 3;
    pen.stroke(shafts);
    pen.strokeStyle = colours.ink;
    pen.lineWidth = 1.3;
    pen.stroke(shafts);
    pen.lineCap = "butt";
  }

  private drawPoints(points: readonly Point[], scene: Scene, colours: Palette): void {
    const { pen } = this;
    pen.strokeStyle = colours.data;
    pen.lineWidth = 2;
    for (const point of points) {
      pen.beginPath();
      pen.arc(...this.place(scene, ...point), 5, 0, 2 * Math.PI);
      pen.stroke();
    }
  }

  private drawPen(at: Point, scene: Scene, colours: Palette): void {
    const { pen } = this;
    const [x, y] = this.place(scene, ...at);
    pen.strokeStyle = colours.ink;
    pen.lineWidth = 2;
    pen.beginPath();
    for (const [dx, dy] of [
      [1, 0],
      [-1, 0],
      [0, 1],
      [0, -1],
    ]) {
      pen.moveTo(x + 4 * dx, y + 4 * dy);
      pen.lineTo(x + 12 * dx, y + 12 * dy);
    }
    pen.stroke();
  }
}
