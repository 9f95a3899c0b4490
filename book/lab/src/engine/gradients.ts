/**
 * Losses, their gradients, samples and scores of a setting's networks, as functions of numbers: all that jax-js does.
 *
 * Each function is traced once for each shape, and compiled to WebAssembly by jax-js. Only first derivatives are
 * taken: what jax-js 0.1.25 compiles for a gradient of a gradient is wrong (see `slopes`).
 */
import { defaultDevice, init, jit, numpy as np, valueAndGrad } from "@jax-js/jax";

import type { Batch } from "./data.ts";
import { CRITIC, GENERATOR } from "./losses.ts";
import { again, generate, type Numbers, score, slopes, type Weights } from "./networks.ts";
import type { Setting } from "./setting.ts";

/** A player's loss on a batch: its adversarial part, the sum of its penalties, and the gradient of both together. */
export interface Gradients {
  game: number;
  penalty: number;
  gradients: Float32Array[];
}

/** (weights, points) -> ∇f at the points: an argument, so that a test can hand over wrong ones. */
export type Slopes = (weights: Weights, x: np.Array) => np.Array;

/** Get jax-js ready. Throws Error, with a sentence, where the browser has no WebAssembly. */
export async function prepare(): Promise<void> {
  const devices = typeof WebAssembly === "undefined" ? [] : await init("wasm");
  if (!devices.includes("wasm"))
    throw new Error(
      "The laboratory needs WebAssembly, which this browser does not have, or has switched off.",
    );
  defaultDevice("wasm");
}

export class Differentiator {
  private readonly jitted: { dispose(): void }[] = [];

  constructor(
    protected readonly setting: Setting,
    private readonly gradientOf: Slopes = slopes,
  ) {}

  /** Free what was traced. */
  dispose(): void {
    for (const one of this.jitted) one.dispose();
  }

  /** The critic's loss on a batch, and its gradient in the critic's weights. */
  critic(critic: Numbers, generator: Numbers, batch: Batch): Gradients {
    return unpack(this.criticTraced(load(critic), load(generator), ...this.loadBatch(batch)));
  }

  /** The generator's loss on a batch, and its gradient in the generator's weights. */
  generator(critic: Numbers, generator: Numbers, batch: Batch): Gradients {
    const [real, z] = this.loadBatch(batch, "not eps");
    return unpack(this.generatorTraced(load(generator), load(critic), real, z));
  }

  /** Samples (n, 2) of z (n, latent). */
  samples(generator: Numbers, z: Float32Array): Float32Array {
    return read(this.samplesTraced(load(generator), array(z, [-1, this.setting.latent])));
  }

  /** Scores (n,) of points (n, 2). */
  scores(critic: Numbers, points: Float32Array): Float32Array {
    return read(this.scoresTraced(load(critic), array(points, [-1, 2])));
  }

  /** -∂/∂x̃ of the generator's loss of each sample (n, 2); real (n, 2) are the pairs of a relativistic loss. */
  arrows(critic: Numbers, fake: Float32Array, real: Float32Array): Float32Array {
    return read(this.arrowsTraced(array(fake, [-1, 2]), load(critic), array(real, [-1, 2])));
  }

  // ------------------------------------------------------------------------------------------- what is traced

  private readonly criticTraced = this.jit(
    (weights: Weights, G: Weights, real: np.Array, z: np.Array, eps: np.Array) => {
      const loss = valueAndGrad(this.criticLoss.bind(this), { hasAux: true });
      const [[whole, parts], gradients] = loss(weights, real, generate(G, z), eps);
      whole.dispose();
      return [...parts, ...gradients];
    },
  );

  private readonly generatorTraced = this.jit(
    (weights: Weights, C: Weights, real: np.Array, z: np.Array) => {
      const loss = valueAndGrad((w: Weights, critic: Weights, x: np.Array, noise: np.Array) =>
        this.generatorLosses(critic, generate(w, noise), x).mean(),
      );
      const [whole, gradients] = loss(weights, C, real, z);
      return [whole, np.zeros([]), ...gradients];
    },
  );

  private readonly samplesTraced = this.jit((weights: Weights, z: np.Array) =>
    generate(weights, z),
  );

  private readonly scoresTraced = this.jit((weights: Weights, points: np.Array) =>
    score(weights, points),
  );

  private readonly arrowsTraced = this.jit((fake: np.Array, C: Weights, real: np.Array) => {
    const loss = valueAndGrad((x: np.Array, critic: Weights, pairs: np.Array) =>
      this.generatorLosses(critic, x, pairs).sum(),
    );
    const [value, gradient] = loss(fake, C, real);
    value.dispose();
    return gradient.neg();
  });

  /** The sum of both parts, and the two: game and penalty. */
  protected criticLoss(
    w: Weights,
    real: np.Array,
    fake: np.Array,
    eps: np.Array,
  ): [np.Array, np.Array[]] {
    const penalty = this.penalty(w, real, fake, eps) ?? np.zeros([]);
    const game = CRITIC[this.setting.game](score(again(w), real), score(w, fake));
    return [game.ref.add(penalty.ref), [game, penalty]];
  }

  private generatorLosses(C: Weights, fake: np.Array, real: np.Array): np.Array {
    const { game } = this.setting;
    const scores = game === "relativistic" ? score(again(C), real) : (real.dispose(), null);
    return GENERATOR[game](score(C, fake), scores);
  }

  /** The setting's penalty on the slopes of the critic, a number; null for none. Uses up eps, and nothing else. */
  protected penalty(w: Weights, real: np.Array, fake: np.Array, eps: np.Array): np.Array | null {
    const { penalty, weight } = this.setting;
    const squares = (x: np.Array) => np.square(this.gradientOf(again(w), x)).sum(1);
    if (penalty === "gradient_penalty") {
      const e = eps.reshape([-1, 1]);
      const between = e.ref.mul(real.ref).add(e.neg().add(1).mul(fake.ref));
      return np
        .square(root(squares(between)).sub(1))
        .mean()
        .mul(weight);
    }
    eps.dispose();
    const r1 = penalty === "r1" || penalty === "r1_r2" ? squares(real.ref).mean() : null;
    const r2 = penalty === "r2" || penalty === "r1_r2" ? squares(fake.ref).mean() : null;
    const sum = r1 && r2 ? r1.add(r2) : (r1 ?? r2);
    return sum && sum.mul(weight / 2);
  }

  protected jit<F extends (...args: any[]) => np.Array | np.Array[]>(f: F): F {
    const traced = jit(f);
    this.jitted.push(traced);
    return traced as unknown as F;
  }

  protected loadBatch({ real, z, eps }: Batch): [np.Array, np.Array, np.Array];
  protected loadBatch(batch: Batch, which: "not eps"): [np.Array, np.Array];
  protected loadBatch({ real, z, eps }: Batch, which?: "not eps"): np.Array[] {
    const both = [array(real, [-1, 2]), array(z, [-1, this.setting.latent])];
    return which ? both : [...both, array(eps, [-1])];
  }
}

/** √s with derivative 0 at s = 0, as PyTorch's norm has it, in place of an infinite one. */
function root(s: np.Array): np.Array {
  const positive = s.ref.greater(0);
  return np.where(positive.ref, np.sqrt(np.where(positive, s, 1)), 0);
}

function array(values: Float32Array, shape: number[]): np.Array {
  const known = shape.reduce((a, b) => (b > 0 ? a * b : a), 1);
  return np.array(values as Float32Array<ArrayBuffer>, {
    shape: shape.map((n) => (n > 0 ? n : values.length / known)),
    dtype: np.float32,
  });
}

export function load(weights: Numbers): Weights {
  return weights.map(({ shape, values }) => array(Float32Array.from(values), shape));
}

/** The numbers of an array, which is used up. Read at once, jax-js computes in this thread and starts no others. */
function read(x: np.Array): Float32Array {
  return x.dataSync() as Float32Array;
}

export function unpack([game, penalty, ...gradients]: np.Array[]): Gradients {
  return { game: read(game)[0], penalty: read(penalty)[0], gradients: gradients.map(read) };
}
