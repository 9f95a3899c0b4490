/** The book's colours (gan_tutorial.plots.COLOURS, and their partners on dark ground), and those of the critic's field. */

export type Colour = readonly [number, number, number];

export interface Palette {
  dark: boolean;
  ground: string;
  ink: string;
  muted: string;
  data: string;
  samples: string;
  average: string;
  critic: string;
  generator: string;
  /** Around a sample, so that it stands out from the data below it. */
  rim: string;
  /** Of the field: where the critic is sure of a sample, undecided, sure of data. */
  field: readonly [Colour, Colour, Colour];
}

const LIGHT: Palette = {
  dark: false,
  ground: "#ffffff",
  ink: "#1c1c1c",
  muted: "#636363",
  data: "#092b56",
  samples: "#b65e00",
  average: "#b8309f",
  critic: "#005c44",
  generator: "#b65e00",
  rim: "#ffffff",
  field: [
    [255, 214, 165],
    [253, 253, 252],
    [186, 212, 246],
  ],
};

const DARK: Palette = {
  dark: true,
  ground: "#121212",
  ink: "#e1e4e8",
  muted: "#a6a6a6",
  data: "#5a96f2",
  samples: "#e59f45",
  average: "#d078cb",
  critic: "#74dcc4",
  generator: "#e59f45",
  rim: "#121212",
  field: [
    [88, 50, 10],
    [24, 24, 25],
    [14, 38, 78],
  ],
};

const isDark = () => document.documentElement.dataset.theme === "dark";

export function palette(): Palette {
  return isDark() ? DARK : LIGHT;
}

/** Call back whenever the page is switched between light and dark. */
export function onTheme(callback: () => void): void {
  new MutationObserver(callback).observe(document.documentElement, {
    attributeFilter: ["data-theme"],
  });
}

const STEPS = 64;

/** The field's colours from -1 (a sample) to 1 (data), 2 · 64 + 1 of them: red, green, blue, 255, … */
function rampOf({ field: [low, middle, high] }: Palette): Uint8ClampedArray {
  const ramp = new Uint8ClampedArray(4 * (2 * STEPS + 1));
  for (let k = -STEPS; k <= STEPS; k++) {
    const end = k < 0 ? low : high;
    const share = Math.abs(k) / STEPS;
    const mixed = middle.map((from, channel) => from + (end[channel] - from) * share);
    ramp.set([...mixed, 255], 4 * (k + STEPS));
  }
  return ramp;
}

const ramps = new Map<Palette, Uint8ClampedArray>();

/** An image of a field, row by row from its highest y; shown: from a score to [-1, 1]. */
export function fieldImage(
  colours: Palette,
  field: Float32Array,
  size: number,
  shown: (score: number) => number,
): ImageData {
  const ramp = ramps.get(colours) ?? rampOf(colours);
  ramps.set(colours, ramp);
  const image = new ImageData(size, size);
  for (let row = 0; row < size; row++)
    for (let column = 0; column < size; column++) {
      const from = 4 * Math.round(STEPS * (1 + shown(field[row * size + column])));
      const to = 4 * ((size - 1 - row) * size + column);
      for (let channel = 0; channel < 4; channel++) image.data[to + channel] = ramp[from + channel];
    }
  return image;
}
