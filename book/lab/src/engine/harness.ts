/** What the tests ask of the engine, in Node: functions of plain values. No page loads this. */
import { grad, lax, numpy as np, valueAndGrad } from "@jax-js/jax";

import { type Batch, countModes, makeData } from "./data.ts";
import { contraction, DIRAC, diracPath, type Place, velocity } from "./dirac.ts";
import { Differentiator, type Gradients, load, prepare, unpack } from "./gradients.ts";
import { type Numbers, score, slopes, type Weights } from "./networks.ts";
import { objectiveOf, OBJECTIVES, PRESETS, withObjective } from "./presets.ts";
import { type Command, type Player, type Report, VIEW, type View } from "./protocol.ts";
import { toPython } from "./python.ts";
import { Random } from "./random.ts";
import { Session } from "./session.ts";
import {
  checkSetting,
  decodeSetting,
  encodeSetting,
  isSettingHash,
  type Setting,
  snap,
} from "./setting.ts";
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

/** How a training of the setting's own ends, and whether the same seed gives the same run. */
async function train({ setting, steps, marks = [], samples = 2500 }: Train) {
  await prepare();
  const training = new Training(checkSetting(setting));
  const view: View = { ...VIEW, field: 0, arrows: 0, samples };
  const found = [];
  for (let k = 1; k <= steps; k++) {
    training.step();
    if (k !== steps && !marks.includes(k)) continue;
    const { modes, emaModes, losses, samples: points } = training.look(view);
    found.push({ steps: k, modes, emaModes, losses: plain(losses), samples: Array.from(points) });
  }
  const weights = lists(training.players.generator.weights);
  training.dispose();
  return { marks: found, weights };
}
interface Train {
  setting: Partial<Setting>;
  steps: number;
  marks?: number[];
  samples?: number;
}

/** Megabytes that the process has after so many steps, and again after as many; looks at every tenth step. */
async function memory({ setting, steps }: Train) {
  await prepare();
  const training = new Training(checkSetting(setting));
  const half = () => {
    for (let k = 0; k < steps; k++) {
      training.step();
      if (k % 10 === 0) training.look(VIEW);
    }
    return usage();
  };
  const sizes = [half(), half()];
  training.dispose();
  return sizes;
}

declare const process: { memoryUsage(): { rss: number } };
function usage(): number {
  return process.memoryUsage().rss / 1e6;
}

/** What a page hears to these commands; waits in milliseconds stand between them. A clock that is told the time. */
async function session(script: (Command | number)[]) {
  let now = 0;
  const heard: Report[] = [];
  const sleepers: { until: number; wake: () => void }[] = [];
  const it = new Session({
    post: (report) => heard.push(report),
    now: () => (now += 0.5),
    wait: (milliseconds) =>
      new Promise((wake) => sleepers.push({ until: now + milliseconds, wake })),
  });
  for (const one of script) {
    if (typeof one !== "number") {
      heard.push({ kind: "asked", what: one.kind } as never);
      await it.handle(one);
      continue;
    }
    const end = now + one;
    while (now < end) {
      const next = sleepers.shift();
      if (!next) break;
      now = Math.max(now, Math.min(next.until, end));
      next.wake();
      await new Promise((wake) => setTimeout(wake));
    }
    now = Math.max(now, end);
  }
  return plain(heard);
}

/** Typed arrays as lists. */
function plain(value: unknown): unknown {
  return JSON.parse(
    JSON.stringify(value, (_, one) =>
      ArrayBuffer.isView(one) ? Array.from(one as Float32Array) : one,
    ),
  );
}

/** What the tests may ask for, by name. */
export const asked: Record<string, (argument: any) => unknown> = {
  learn,
  train,
  memory,
  session,
  check: checkSetting,
  encode: (setting: Setting) => encodeSetting(checkSetting(setting)),
  decode: decodeSetting,
  isHash: isSettingHash,
  snap,
  python: ({ setting, steps }) => toPython(setting, steps),
  data: (setting) => plain(makeData(checkSetting(setting))),
  modes: ({ setting, points }) =>
    countModes(Float32Array.from(points), makeData(checkSetting(setting))),
  look: async ({ setting, steps, view }) => {
    await prepare();
    const training = new Training(checkSetting(setting));
    for (let k = 0; k < steps; k++) training.step();
    const weights = {
      critic: lists(training.players.critic.weights),
      generator: lists(training.players.generator.weights),
    };
    return plain({ ...training.look({ ...VIEW, ...view }), weights, data: training.data.values });
  },
  velocity: ({ setting, places }) =>
    places.map((place: Place) => velocity({ ...DIRAC, ...setting }, place)),
  path: ({ setting, start, steps }) => diracPath({ ...DIRAC, ...setting }, start, steps),
  contraction: ({ gamma, rate }) => contraction(gamma, rate),
  presets: () => ({ PRESETS, OBJECTIVES }),
  objective: ({ setting, name }) => {
    const made = withObjective(checkSetting(setting), name);
    return { setting: made, name: objectiveOf(made) };
  },
  objectiveOf: (setting) => objectiveOf(checkSetting(setting)),
  numbers: ({ words, n }) => {
    const random = new Random(...words);
    return {
      bits: Array.from({ length: n }, () => random.bits()),
      uniform: Array.from({ length: n }, () => random.uniform()),
      normal: Array.from({ length: n }, () => random.normal()),
    };
  },
};
