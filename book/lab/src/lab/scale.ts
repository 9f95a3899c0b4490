/**
 * From a critic's scores to what its field shows, from -1 ("a sample") to 1 ("data").
 *
 * Scores of logistic games are logits: 2 D - 1. Of least squares, 0 and 1 are the critic's aims, and of hinge -1 and 1.
 * A Wasserstein or relativistic critic means only differences: 0 is put halfway between its mean score on data and on
 * samples.
 */
import type { Game } from "../engine/setting.ts";

export interface Scale {
  /** The score that counts as undecided, where the line is drawn. */
  middle: number;
  /** From a score to [-1, 1]. */
  shown(score: number): number;
}

export function scaleOf(game: Game, field: Float32Array, data: number, samples: number): Scale {
  if (game === "wasserstein" || game === "relativistic") {
    const middle = (data + samples) / 2;
    if (game === "relativistic") return { middle, shown: (f) => Math.tanh((f - middle) / 2) };
    const far = field.map((f) => Math.abs(f - middle)).sort();
    const reach = Math.max(far[Math.floor(0.9 * far.length)] ?? 1, 1e-9);
    return { middle, shown: (f) => clamp((f - middle) / reach) };
  }
  if (game === "least_squares") return { middle: 0.5, shown: (f) => clamp(2 * f - 1) };
  if (game === "hinge") return { middle: 0, shown: clamp };
  return { middle: 0, shown: (f) => Math.tanh(f / 2) }; // 2 σ(f) - 1
}

/** What the line at the middle means. */
export function lineWords(game: Game): string {
  if (game === "wasserstein" || game === "relativistic") return "halfway between data and samples";
  return game === "least_squares" ? "score ½" : game === "hinge" ? "score 0" : "D = ½";
}

/** Whether the scale's ends mean what the critic believes, or only more and less. */
export function endWords(game: Game): [string, string] {
  return game === "wasserstein" || game === "relativistic"
    ? ["low score", "high score"]
    : ["a sample", "data"];
}

function clamp(t: number): number {
  return Math.max(-1, Math.min(1, t));
}

/** Mean of the field at these points (n, 2) that lie in the box; the nearest cell's value. */
export function meanScore(
  field: Float32Array,
  size: number,
  box: readonly [number, number, number, number],
  points: Float32Array,
): number {
  const [left, right, bottom, top] = box;
  let [sum, count] = [0, 0];
  for (let k = 0; k + 1 < points.length; k += 2) {
    const column = Math.floor(((points[k] - left) / (right - left)) * size);
    const row = Math.floor(((points[k + 1] - bottom) / (top - bottom)) * size);
    if (column < 0 || column >= size || row < 0 || row >= size) continue;
    sum += field[row * size + column];
    count += 1;
  }
  return count ? sum / count : 0;
}
