/** What the tests ask of the engine, in Node: functions of plain values. No page loads this. */
import { grad, lax } from "@jax-js/jax";

import type { Batch } from "./data.ts";
import { prepare, type Slopes } from "./gradients.ts";
import { type Numbers, score, slopes } from "./networks.ts";
import type { Player } from "./protocol.ts";
import { checkSetting, type Setting } from "./setting.ts";
import { Training } from "./training.ts";

/** Right, and the two faults that once went unnoticed: a gradient of a gradient, and one without its derivative in w. */
const SLOPES: Record<string, Slopes> = {
  formula: slopes,
  nested: (w, x) => grad((points: typeof x, weights: typeof w) => score(weights, points).sum())(x, w),
  dropped: (w, x) => slopes(w.map((one) => lax.stopGradient(one)), x),
};

type Lists = { shape: number[]; values: number[] }[];
interface Case {
  setting: Partial<Setting>;
  weights: Record<Player, Lists>;
  batches: Record<keyof Batch, number[]>[];
  steps: number;
  slopes?: string;
}

/** Gradients at the first weights on the first batch; then losses, weights and averages after some steps. */
async function learn({ setting, weights, batches, steps, slopes: which = "formula" }: Case) {
  await prepare();
  const given = batches.map(({ real, z, eps }) => ({
    real: Float32Array.from(real),
    z: Float32Array.from(z),
    eps: Float32Array.from(eps),
  }));
  const training = new Training(checkSetting(setting), {
    batch: (n) => given[n],
    weights: { critic: numbers(weights.critic), generator: numbers(weights.generator) },
    slopes: SLOPES[which],
  });
  const gradients = {
    critic: training.gradients("critic", given[0]).gradients.map((g) => Array.from(g)),
    generator: training.gradients("generator", given[0]).gradients.map((g) => Array.from(g)),
  };
  for (let k = 0; k < steps; k++) training.step();
  return {
    gradients,
    critic: lists(training.players.critic.weights),
    generator: lists(training.players.generator.weights),
    average: lists(training.average.weights),
  };
}

function numbers(weights: Lists): Numbers {
  return weights.map(({ shape, values }) => ({ shape, values: Float64Array.from(values) }));
}

function lists(weights: Numbers): number[][] {
  return weights.map(({ values }) => Array.from(values));
}

export const asked: Record<string, (argument: any) => unknown> = { learn };
