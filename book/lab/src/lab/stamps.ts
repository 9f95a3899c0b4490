/**
 * The same small mark at a thousand points. Pixels are mixed here, one by one: that takes a millisecond, where a
 * canvas without a GPU takes ten for a thousand discs.
 */

/** A mark by its opacity, 0 to 255, in a square of device pixels. */
export interface Mark {
  side: number;
  opacity: Uint8ClampedArray;
}

const marks = new Map<string, Mark>();

/** A mark that `draw` draws around the origin, at most `reach` from it; drawn once for each name and pixel ratio. */
export function mark(
  name: string,
  reach: number,
  ratio: number,
  draw: (pen: CanvasRenderingContext2D) => void,
): Mark {
  const key = `${name} ${reach} ${ratio}`;
  let found = marks.get(key);
  if (!found) {
    const canvas = document.createElement("canvas");
    const side = (canvas.width = canvas.height = 2 * Math.ceil(reach * ratio) + 1);
    const pen = canvas.getContext("2d")!;
    pen.setTransform(ratio, 0, 0, ratio, side / 2, side / 2);
    pen.beginPath();
    draw(pen);
    const { data } = pen.getImageData(0, 0, side, side);
    found = { side, opacity: data.filter((_, k) => k % 4 === 3) };
    marks.set(key, found);
  }
  return found;
}

/** Mix marks into an image, their middles at these places: x, y, x, y, … in device pixels. Colour: #rrggbb. */
export function print(
  { data, width, height }: ImageData,
  { side, opacity }: Mark,
  places: Float32Array,
  colour: string,
): void {
  const [red, green, blue] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
  const half = side >> 1;
  for (let p = 0; p < places.length; p += 2) {
    const [left, top] = [Math.round(places[p]) - half, Math.round(places[p + 1]) - half];
    if (!(left > -side && top > -side && left < width && top < height)) continue;
    for (let row = Math.max(0, -top); row < Math.min(side, height - top); row++) {
      for (let column = Math.max(0, -left); column < Math.min(side, width - left); column++) {
        const a = opacity[row * side + column];
        if (!a) continue;
        const at = 4 * ((top + row) * width + left + column);
        data[at] += ((red - data[at]) * a) / 255;
        data[at + 1] += ((green - data[at + 1]) * a) / 255;
        data[at + 2] += ((blue - data[at + 2]) * a) / 255;
      }
    }
  }
}
