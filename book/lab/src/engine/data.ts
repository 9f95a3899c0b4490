/** The package's points in the plane, `gt.data.ring`, `grid` and `swiss_roll`, and the reader's own. */
import type { Modes } from "./protocol.ts";
import { Random } from "./random.ts";
import type { Setting } from "./setting.ts";

/** As many points as the package's data sets have. */
export const POINTS = 10_000;

export interface Data {
  /** (POINTS, 2): x, y, x, y, … */
  values: Float32Array;
  /** Centres of the modes, (k, 2); null for data without modes. */
  modes: Float32Array | null;
  sigma: number;
}

/** The data of a setting: POINTS of them, drawn by its seed. */
export function makeData(setting: Setting): Data {
  const random = new Random(setting.seed, "data", setting.data);
  const modes = setting.data === "ring" || setting.data === "grid" ? centres(setting) : null;
  const anchors = modes ?? Float32Array.from(setting.points.flat());
  const values = new Float32Array(2 * POINTS);
  for (let k = 0; k < values.length; k += 2) {
    const [x, y] =
      setting.data === "roll"
        ? onRoll(setting, random)
        : pick(anchors, random.below(anchors.length / 2));
    values[k] = x + setting.sigma * random.normal();
    values[k + 1] = y + setting.sigma * random.normal();
  }
  return { values, modes, sigma: setting.sigma };
}

function pick(points: Float32Array, k: number): [number, number] {
  return [points[2 * k], points[2 * k + 1]];
}

/** The ring's size·(cos 2πk/8, sin 2πk/8), or the 5 × 5 points of a lattice, x by x. */
function centres({ data, size, shift }: Setting): Float32Array {
  const ring = (k: number) => [Math.cos((k * Math.PI) / 4), Math.sin((k * Math.PI) / 4)];
  const grid = (k: number) => [(Math.floor(k / 5) - 2) / 2, ((k % 5) - 2) / 2];
  const places = Array.from({ length: data === "ring" ? 8 : 25 }, (_, k) =>
    data === "ring" ? ring(k) : grid(k),
  );
  return Float32Array.from(places.flatMap(([x, y]) => [size * x + shift, size * y]));
}

/** A spiral of 1.5 turns: size·(t cos t, t sin t) / 4.5π, t uniform in [1.5π, 4.5π]. */
function onRoll({ size, shift }: Setting, random: Random): [number, number] {
  const t = Math.PI * (1.5 + 3 * random.uniform());
  const radius = (size * t) / (4.5 * Math.PI);
  return [radius * Math.cos(t) + shift, radius * Math.sin(t)];
}

/**
 * How many modes the points (n, 2) find, as `gan_tutorial.metrics.modes` counts: a point is good if it is within
 * 3 sigma of the nearest mode. Null for data without modes.
 */
export function countModes(points: Float32Array, { modes, sigma }: Data): Modes | null {
  if (!modes) return null;
  const hits = Array<number>(modes.length / 2).fill(0);
  for (let k = 0; k < points.length; k += 2) {
    let nearest = 0;
    let least = Infinity;
    for (let m = 0; m < modes.length; m += 2) {
      const distance = Math.hypot(points[k] - modes[m], points[k + 1] - modes[m + 1]);
      if (distance < least) [nearest, least] = [m / 2, distance];
    }
    if (least <= 3 * sigma) hits[nearest] += 1;
  }
  const good = hits.reduce((a, b) => a + b, 0);
  return {
    found: hits.filter((n) => n > 0).length,
    of: hits.length,
    quality: good / (points.length / 2),
    hits,
  };
}

/** What is random about one update: batch number n of a seed, as in the package's `Feed`. */
export interface Batch {
  /** (batch, 2) */
  real: Float32Array;
  /** (batch, latent), standard normal */
  z: Float32Array;
  /** (batch,), uniform on [0, 1): where between a real and a fake sample the gradient penalty looks */
  eps: Float32Array;
}

export function drawBatch({ seed, batch, latent }: Setting, data: Data, n: number): Batch {
  const random = new Random(seed, "batch", n);
  const real = new Float32Array(2 * batch);
  for (let k = 0; k < batch; k++) real.set(pick(data.values, random.below(POINTS)), 2 * k);
  const z = random.normals(batch * latent);
  return { real, z, eps: Float32Array.from({ length: batch }, () => random.uniform()) };
}
