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

/** For t from -1 (a sample) to 1 (data). */
export function fieldColour({ field: [low, middle, high] }: Palette, t: number): Colour {
  const [end, share] = t < 0 ? [low, Math.min(1, -t)] : [high, Math.min(1, t)];
  const mix = (k: number) => Math.round(middle[k] + (end[k] - middle[k]) * share);
  return [mix(0), mix(1), mix(2)];
}
