/** PyTorch's Adam, RMSprop and SGD with its default numbers, a step at a time, in double precision. */
import type { Numbers } from "./networks.ts";
import type { Optimizer, Setting } from "./setting.ts";

const EPS = 1e-8;
/** RMSprop's memory. */
const ALPHA = 0.99;

export class Optimiser {
  private readonly first: Float64Array[];
  private readonly second: Float64Array[];
  private steps = 0;

  /** lr: the learning rate, which may be changed between steps. The setting has Adam's betas. */
  constructor(
    private readonly kind: Optimizer,
    private readonly setting: Pick<Setting, "beta1" | "beta2">,
    private readonly weights: Numbers,
    public lr: number,
  ) {
    this.first = weights.map(({ values }) => new Float64Array(values.length));
    this.second = weights.map(({ values }) => new Float64Array(values.length));
  }

  /** Move the weights against their gradients. Returns the length of the way. */
  step(gradients: ArrayLike<number>[]): number {
    this.steps += 1;
    const move = { adam: this.adam, rmsprop: this.rmsprop, sgd: this.sgd }[this.kind];
    let square = 0;
    for (const [k, { values }] of this.weights.entries())
      square += move.call(this, values, gradients[k], k);
    return Math.sqrt(square);
  }

  /** m ← β₁m + (1 - β₁)g, v ← β₂v + (1 - β₂)g², w ← w - lr m̂ / (√v̂ + ε), hats: over 1 - βᵗ. Kingma & Ba 2015. */
  private adam(w: Float64Array, g: ArrayLike<number>, k: number): number {
    const [m, v, { beta1, beta2 }] = [this.first[k], this.second[k], this.setting];
    const rate = this.lr / (1 - beta1 ** this.steps);
    const root = Math.sqrt(1 - beta2 ** this.steps);
    let square = 0;
    for (let i = 0; i < w.length; i++) {
      m[i] += (1 - beta1) * (g[i] - m[i]);
      v[i] = beta2 * v[i] + (1 - beta2) * g[i] * g[i];
      const way = (rate * m[i]) / (Math.sqrt(v[i]) / root + EPS);
      w[i] -= way;
      square += way * way;
    }
    return square;
  }

  /** v ← αv + (1 - α)g², w ← w - lr g / (√v + ε). Tieleman & Hinton 2012. */
  private rmsprop(w: Float64Array, g: ArrayLike<number>, k: number): number {
    const v = this.second[k];
    let square = 0;
    for (let i = 0; i < w.length; i++) {
      v[i] = ALPHA * v[i] + (1 - ALPHA) * g[i] * g[i];
      const way = (this.lr * g[i]) / (Math.sqrt(v[i]) + EPS);
      w[i] -= way;
      square += way * way;
    }
    return square;
  }

  /** w ← w - lr g. */
  private sgd(w: Float64Array, g: ArrayLike<number>): number {
    let square = 0;
    for (let i = 0; i < w.length; i++) {
      w[i] -= this.lr * g[i];
      square += (this.lr * g[i]) ** 2;
    }
    return square;
  }
}

/** Every weight back into [-bound, bound]. Arjovsky et al. 2017, algorithm 1. */
export function clipWeights(weights: Numbers, bound: number): void {
  for (const { values } of weights)
    for (let i = 0; i < values.length; i++)
      values[i] = Math.max(-bound, Math.min(bound, values[i]));
}

/**
 * The package's `EMA` of a network's weights: θ̄ ← βθ̄ + (1 - β)θ after each step, β = 2^(-b/h) for batch size b and
 * half-life h in samples; early on h is at most a tenth of the samples seen. Karras et al. 2018.
 */
export class MovingAverage {
  readonly weights: Numbers;
  private samples = 0;

  constructor(
    private readonly source: Numbers,
    private readonly halfLife: number,
    private readonly batch: number,
  ) {
    this.weights = source.map(({ shape, values }) => ({ shape, values: values.slice() }));
  }

  step(): void {
    this.samples += this.batch;
    const share = 1 - 0.5 ** (this.batch / Math.min(this.halfLife, 0.1 * this.samples));
    for (const [k, { values }] of this.weights.entries()) {
      const source = this.source[k].values;
      for (let i = 0; i < values.length; i++) values[i] += share * (source[i] - values[i]);
    }
  }
}
