/** What the tests ask of the engine, in Node: functions of plain values. No page loads this. */
import { grad, lax, numpy as np, valueAndGrad } from "@jax-js/jax";

import type { Batch } from "./data.ts";
import { Differentiator, type Gradients, load, prepare, unpack } from "./gradients.ts";
import { type Numbers, score, slopes, type Weights } from "./networks.ts";
import type { Player } from "./protocol.ts";
import { checkSetting, type Setting } from "./setting.ts";
import { Training } from "./training.ts";

/** A known fault: slopes by automatic differentiation, so that the penalty takes a gradient of a gradient. */
class Nested extends Differentiator {
  constructor(setting: Setting) {
    super(setting, (w, x) => grad((points: np.Array) => score(w, points).sum())(x));
  }

  // Without the two parts of the loss, which jax-js cannot hand out of such a nest.
  override critic(critic: Numbers, generator: Numbers, batch: Batch): Gradients {
    const fake = this.samples(generator, batch.z);
    const [real, , eps] = this.loadBatch(batch);
    const [fakes] = this.loadBatch({ ...batch, real: fake });
    return unpack(this.nested(load(critic), real, fakes, eps));
  }

  private readonly nested = this.jit(
    (w: Weights, real: np.Array, fake: np.Array, eps: np.Array): np.Array[] => {
      const loss = valueAndGrad((...given: [Weights, np.Array, np.Array, np.Array]) => {
        const [sum, parts] = this.criticLoss(...given);
        for (const part of parts) part.dispose();
        return sum;
      });
      const [sum, gradients] = loss(w, real, fake, eps);
      return [sum, np.zeros([]), ...gradients];
    },
  );
}

/** Another: slopes whose derivative in the weights is lost, as jax-js loses that of grad((x, w) => …)(x, w). */
function dropped(setting: Setting): Differentiator {
  return new Differentiator(setting, (w, x) => slopes(w.map(lax.stopGradient), x));
}

const DIFFERENTIATORS: Record<string, (setting: Setting) => Differentiator> = {
  right: (setting) => new Differentiator(setting),
  nested: (setting) => new Nested(setting),
  dropped,
};

type Lists = { shape: number[]; values: number[] }[];
interface Case {
  setting: Partial<Setting>;
  weights: Record<Player, Lists>;
  batches: Record<keyof Batch, number[]>[];
  steps: number;
  fault?: string;
}

/** Gradients at the first weights on the first batch; then losses, weights and averages after some steps. */
async function learn({ setting, weights, batches, steps, fault = "right" }: Case) {
  await prepare();
  const given = batches.map(({ real, z, eps }) => ({
    real: Float32Array.from(real),
    z: Float32Array.from(z),
    eps: Float32Array.from(eps),
  }));
  const checked = checkSetting(setting);
  const training = new Training(checked, {
    batch: (n) => given[n],
    weights: { critic: numbers(weights.critic), generator: numbers(weights.generator) },
    differentiator: DIFFERENTIATORS[fault](checked),
  });
  const gradients = {
    critic: training.gradients("critic", given[0]).gradients.map((g) => Array.from(g)),
    generator: training.gradients("generator", given[0]).gradients.map((g) => Array.from(g)),
  };
  for (let k = 0; k < steps; k++) training.step();
  training.dispose();
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
