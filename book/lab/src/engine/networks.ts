/**
 * The package's `MLPGenerator` and `MLPCritic`: fully connected layers, in jax-js.
 *
 * Weights are a list [W₁, b₁, W₂, b₂, …] in PyTorch's order and shapes: Wₗ is (outputs, inputs), bₗ is (outputs,).
 */
import { lax, numpy as np } from "@jax-js/jax";

import { Random } from "./random.ts";
import type { Setting } from "./setting.ts";

export type Weights = np.Array[];
/** The numbers of a list of weights, each with its shape. */
export type Numbers = { shape: number[]; values: Float64Array }[];

/** Slope of the critic's activation below zero. */
const LEAK = 0.2;

/** The sizes of a network's layers, input first. */
export function sizes(setting: Setting, player: "critic" | "generator"): number[] {
  const hidden = Array(setting.depth).fill(setting.width);
  return player === "critic" ? [2, ...hidden, 1] : [setting.latent, ...hidden, 2];
}

/** First weights, uniform in ± 1/√inputs: the law of PyTorch's `nn.Linear`, for weights and biases. */
export function firstWeights(layers: number[], random: Random): Numbers {
  return layers.slice(1).flatMap((outputs, k) => {
    const bound = 1 / Math.sqrt(layers[k]);
    return [[outputs, layers[k]], [outputs]].map((shape) => ({
      shape,
      values: Float64Array.from(
        { length: shape.reduce((a, b) => a * b) },
        () => bound * random.symmetric(),
      ),
    }));
  });
}

/** The same arrays once more: jax-js's functions use their arguments up. */
export function again(weights: Weights): Weights {
  return weights.map((w) => w.ref);
}

function linear(x: np.Array, W: np.Array, b: np.Array): np.Array {
  return np.matmul(x, np.transpose(W)).add(b);
}

/** G(z): z (n, latent) to samples (n, 2). Hidden layers are followed by ReLU. */
export function generate(weights: Weights, z: np.Array): np.Array {
  let h = z;
  for (let k = 0; k < weights.length; k += 2) {
    if (k) h = np.maximum(h, 0);
    h = linear(h, weights[k], weights[k + 1]);
  }
  return h;
}

/** f(x): points (n, 2) to scores (n,). Hidden layers are followed by leaky ReLU. */
export function score(weights: Weights, x: np.Array): np.Array {
  let h = x;
  for (let k = 0; k < weights.length; k += 2) {
    if (k) h = h.ref.mul(gates(h));
    h = linear(h, weights[k], weights[k + 1]);
  }
  return h.reshape([-1]);
}

/** The derivative of leaky ReLU at a: 1 or 0.2. It is constant between its jumps, so nothing learns through it. */
function gates(a: np.Array): np.Array {
  return lax.stopGradient(np.where(a.greater(0), 1, LEAK));
}

/**
 * ∇f(x), points (n, 2) to gradients (n, 2), as a formula of the weights:
 *
 *     ∇f(x) = W₁ᵀ D₁(x) W₂ᵀ D₂(x) … wᵀ,    Dₗ = diag(leaky ReLU' of layer l),
 *
 * so that a penalty on it takes first derivatives only. By automatic differentiation it would take a gradient of a
 * gradient, and jax-js 0.1.25 compiles those wrongly to WebAssembly, without a word.
 */
export function slopes(weights: Weights, x: np.Array): np.Array {
  const D: np.Array[] = [];
  let h = x;
  for (let k = 0; k + 2 < weights.length; k += 2) {
    const a = linear(h, weights[k].ref, weights[k + 1]);
    D.push(gates(a.ref));
    h = a.mul(D.at(-1)!.ref);
  }
  h.dispose();
  weights.at(-1)!.dispose();
  let g = weights.at(-2)!; // (1, width), then (n, …)
  for (let k = weights.length - 4; k >= 0; k -= 2) g = np.matmul(g.mul(D.pop()!), weights[k]);
  return g;
}
