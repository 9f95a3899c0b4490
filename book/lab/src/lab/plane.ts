/** The picture: data, samples, the critic's field with its line, and the arrows that samples follow. */
import type { Point, Setting } from "../engine/setting.ts";
import { fieldImage, type Palette } from "./colours.ts";
import { contour } from "./contour.ts";
import type { Scale } from "./scale.ts";
import { type Mark, mark, print } from "./stamps.ts";

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

/** Pixels of a square in which one arrow at most begins. */
const APART = 34;

/** Of so many samples one sees where they came from. */
const TRAILS = 300;

export class Plane {
  private readonly pen: CanvasRenderingContext2D;
  private readonly tint = document.createElement("canvas");
  private side = 0;

  constructor(readonly canvas: HTMLCanvasElement) {
    this.pen = canvas.getContext("2d", { willReadFrequently: true })!; // in memory: quick without a GPU, too
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
    if (scene.modes && scene.data) this.drawModes(scene.modes, scene, colours);
    if (scene.samples && scene.samplesBefore)
      this.drawTrails(scene.samplesBefore, scene.samples, scene, colours);
    this.printPoints(scene, colours);
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
    tint.getContext("2d")!.putImageData(fieldImage(colours, field, size, scale.shown), 0, 0);
    pen.imageSmoothingEnabled = true;
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

  private drawTrails(
    before: Float32Array,
    samples: Float32Array,
    scene: Scene,
    colours: Palette,
  ): void {
    const { pen } = this;
    pen.strokeStyle = colours.samples;
    pen.lineWidth = 1;
    pen.beginPath();
    for (let k = 0; k < Math.min(samples.length, 2 * TRAILS); k += 2) {
      pen.moveTo(...this.place(scene, before[k], before[k + 1]));
      pen.lineTo(...this.place(scene, samples[k], samples[k + 1]));
    }
    pen.stroke();
  }

  /** Data, samples with a rim around their crowd, and averaged samples. */
  private printPoints(scene: Scene, colours: Palette): void {
    const { canvas, pen, side } = this;
    const small = side < 300;
    const [arm, radius] = small ? [1, 2] : [1.3, 2.4];
    const image = pen.getImageData(0, 0, canvas.width, canvas.height);
    if (scene.data) {
      const square = this.mark("square", arm, (stamp) => {
        stamp.globalAlpha = 0.75;
        stamp.fillRect(-arm, -arm, 2 * arm, 2 * arm);
      });
      print(image, square, this.places(scene, scene.data), colours.data);
    }
    if (scene.samples) {
      const places = this.places(scene, scene.samples);
      print(image, this.disc(radius + 1), places, colours.rim);
      print(image, this.disc(radius), places, colours.samples);
    }
    if (scene.average) {
      const cross = this.mark("cross", 3, (stamp) => {
        stamp.lineWidth = 1.5;
        stamp.moveTo(-2.6, -2.6);
        stamp.lineTo(2.6, 2.6);
        stamp.moveTo(2.6, -2.6);
        stamp.lineTo(-2.6, 2.6);
        stamp.stroke();
      });
      print(image, cross, this.places(scene, scene.average), colours.average);
    }
    pen.putImageData(image, 0, 0);
  }

  private get ratio(): number {
    return this.canvas.width / this.side;
  }

  private mark(name: string, reach: number, draw: (pen: CanvasRenderingContext2D) => void): Mark {
    return mark(name, reach, this.ratio, draw);
  }

  private disc(radius: number): Mark {
    return this.mark("disc", radius, (stamp) => {
      stamp.arc(0, 0, radius, 0, 2 * Math.PI);
      stamp.fill();
    });
  }

  /** Device pixels from the left and from the top. */
  private places(scene: Scene, points: Float32Array): Float32Array {
    const { box } = scene;
    const scale = this.canvas.width / (box[1] - box[0]);
    return points.map((value, k) => (k % 2 ? box[3] - value : value - box[0]) * scale);
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
    for (let k = 0; k < arrows.length; k += 2) {
      const pull = Math.hypot(arrows[k], arrows[k + 1]);
      const length = longest * Math.min(1.4, Math.sqrt(pull / scene.pull));
      if (!(length > 2)) continue;
      const [x, y] = this.place(scene, samples[k], samples[k + 1]);
      const cell = `${Math.floor(x / APART)} ${Math.floor(y / APART)}`;
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
