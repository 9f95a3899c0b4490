/** Drawing points onto the picture: by mouse, pen or finger, or by keys. */
import { MOST_POINTS, type Point, snap } from "../engine/setting.ts";
import { h } from "./dom.ts";
import type { Box } from "./plane.ts";

const STEP = 0.1;
/** Points of one stroke keep this distance, in units of the data. */
const APART = 0.12;

/** A transparent sheet over the picture. It keeps the points, and tells of each change. */
export class Pad {
  readonly element: HTMLElement;
  points: Point[] = [];
  /** Where keys have moved the pen, while the sheet has the focus. */
  pen: Point | null = null;
  private stroke = false;

  constructor(
    private readonly box: () => Box,
    /** whole: the stroke is over. */
    private readonly changed: (whole: boolean, words: string) => void,
  ) {
    this.element = h("div", {
      class: "pad",
      tabindex: 0,
      role: "application",
      "aria-label":
        "Sheet for your own points. Arrow keys move the pen, Enter puts a point, Backspace takes the last one back.",
      onpointerdown: (event: PointerEvent) => this.press(event),
      onpointermove: (event: PointerEvent) => this.move(event),
      onpointerup: () => this.release(),
      onpointercancel: () => this.release(),
      onkeydown: (event: KeyboardEvent) => this.key(event),
      onblur: () => this.lift(),
    });
  }

  private at(event: PointerEvent): Point {
    const { left, top, width, height } = this.element.getBoundingClientRect();
    const [x0, x1, y0, y1] = this.box();
    return [
      snap(x0 + ((event.clientX - left) / width) * (x1 - x0)),
      snap(y1 - ((event.clientY - top) / height) * (y1 - y0)),
    ];
  }

  private press(event: PointerEvent): void {
    if (event.button) return;
    this.element.setPointerCapture(event.pointerId);
    this.stroke = true;
    this.pen = null;
    this.put(this.at(event));
  }

  private move(event: PointerEvent): void {
    if (!this.stroke) return;
    const [x, y] = this.at(event);
    const last = this.points.at(-1);
    if (!last || Math.hypot(x - last[0], y - last[1]) >= APART) this.put([x, y]);
  }

  private release(): void {
    if (!this.stroke) return;
    this.stroke = false;
    this.changed(true, `${this.points.length} points.`);
  }

  private lift(): void {
    this.pen = null;
    this.changed(false, "");
  }

  private put(point: Point): void {
    if (this.points.length >= MOST_POINTS) {
      this.changed(false, `There is room for ${MOST_POINTS} points: clear some.`);
      return;
    }
    this.points.push(point);
    this.changed(false, "");
  }

  private key(event: KeyboardEvent): void {
    const moves: Record<string, Point> = {
      ArrowLeft: [-STEP, 0],
      ArrowRight: [STEP, 0],
      ArrowUp: [0, STEP],
      ArrowDown: [0, -STEP],
    };
    const move = moves[event.key];
    const at = this.pen ?? [0, 0];
    const where = (point: Point) => `${point[0].toFixed(1)}, ${point[1].toFixed(1)}`;
    if (move) {
      this.pen = this.pen ? [snap(at[0] + move[0]), snap(at[1] + move[1])] : at;
      this.changed(false, `Pen at ${where(this.pen)}.`);
    } else if (event.key === "Enter" || event.key === " ") {
      this.pen = at;
      this.put(at);
      this.changed(true, `Point ${this.points.length} at ${where(at)}.`);
    } else if (event.key === "Backspace" || event.key === "Delete") {
      this.points.pop();
      this.changed(true, `${this.points.length} points left.`);
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  clear(): void {
    this.points = [];
    this.changed(true, "No points.");
  }
}
