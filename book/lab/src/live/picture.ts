/** Images onto canvases. */

import type { Maps } from "./layers.ts";

/** Put an image with values in [-1, 1], grey or in colour, onto a canvas, with its left edge at column `left`. */
export function paint(canvas: HTMLCanvasElement, image: Maps, left = 0): void {
  const { width, height, channels, values } = image;
  const pixels = new ImageData(width, height);
  const size = width * height;
  for (let i = 0; i < size; i++) {
    for (let c = 0; c < 3; c++) {
      const value = values[channels === 3 ? c * size + i : i];
      pixels.data[4 * i + c] = Math.round(127.5 * (value + 1));
    }
    pixels.data[4 * i + 3] = 255;
  }
  canvas.getContext("2d")?.putImageData(pixels, left, 0);
}
