/** All losses of a training so far, put together from the latest ones that each state brings. */
import type { Losses } from "../engine/protocol.ts";

export class History {
  readonly critic: number[] = [];
  readonly generator: number[] = [];

  add({ from, critic, generator }: Losses): void {
    while (this.critic.length < from) this.push(NaN, NaN); // steps that no state told of
    for (let k = this.critic.length - from; k < critic.length; k++)
      this.push(critic[k], generator[k]);
  }

  private push(critic: number, generator: number): void {
    this.critic.push(critic);
    this.generator.push(generator);
  }

  clear(): void {
    this.critic.length = this.generator.length = 0;
  }
}

/** At most `most` means of neighbours, each with the step in its middle; what is not finite is left out. */
export function thinned(values: readonly number[], most: number): [number, number][] {
  const width = Math.max(1, Math.ceil(values.length / most));
  const points: [number, number][] = [];
  for (let start = 0; start < values.length; start += width) {
    const part = values.slice(start, start + width).filter(Number.isFinite);
    if (!part.length) continue;
    const mean = part.reduce((a, b) => a + b, 0) / part.length;
    points.push([start + Math.min(width, values.length - start) / 2, mean]);
  }
  return points;
}

/** A range for an axis: the middle 98 % of the values and all of `marks`, with some room. */
export function rangeOf(values: readonly number[], marks: readonly number[]): [number, number] {
  const sorted = values.filter(Number.isFinite).sort((a, b) => a - b);
  const at = (share: number) => sorted[Math.round(share * (sorted.length - 1))];
  const ends = sorted.length ? [at(0.01), at(0.99), ...marks] : marks.length ? marks : [0, 1];
  const [low, high] = [Math.min(...ends), Math.max(...ends)];
  const room = Math.max(0.08 * (high - low), 1e-3);
  return [low - room, high + room];
}

/** About three round numbers in a range. */
export function ticks([low, high]: readonly [number, number]): number[] {
  const raw = (high - low) / 3;
  const ten = 10 ** Math.floor(Math.log10(raw));
  const step = ten * ([1, 2, 5, 10].find((factor) => factor * ten >= raw) ?? 10);
  const found: number[] = [];
  for (let k = Math.ceil(low / step); k * step <= high; k++) found.push(k * step + 0);
  return found;
}
