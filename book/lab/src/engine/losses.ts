/**
 * What each player minimises, of scores (batch,): `gan_tutorial.objectives` in jax-js.
 *
 * jax-js counts references: a function uses up each of its arguments once, and takes `.ref` where it needs one again.
 */
import { numpy as np } from "@jax-js/jax";

import type { Game } from "./setting.ts";

/** ln(1 + eᵃ) = max(a, 0) + ln(1 + e^-|a|), finite where eᵃ is not: jax-js's own is infinite there. */
export function softplus(a: np.Array): np.Array {
  const rest = np.log(np.exp(np.absolute(a.ref).neg()).add(1));
  return np.maximum(a, 0).add(rest);
}

function relu(a: np.Array): np.Array {
  return np.maximum(a, 0);
}

/** -E ln D(x) - E ln(1 - D(x̃)). Goodfellow et al. 2014, eq. 1. */
function logistic(real: np.Array, fake: np.Array): np.Array {
  return softplus(real.neg()).mean().add(softplus(fake).mean());
}

/** ½ E (f(x) - 1)² + ½ E f(x̃)². Mao et al. 2017. */
function squares(real: np.Array, fake: np.Array): np.Array {
  return np.square(real.sub(1)).mean().add(np.square(fake).mean()).mul(0.5);
}

/** E max(0, 1 - f(x)) + E max(0, 1 + f(x̃)). Lim & Ye 2017. */
function margins(real: np.Array, fake: np.Array): np.Array {
  return relu(real.neg().add(1))
    .mean()
    .add(relu(fake.add(1)).mean());
}

/** The critic's loss from the scores of real and of fake samples. */
export const CRITIC: Record<Game, (real: np.Array, fake: np.Array) => np.Array> = {
  minimax: logistic,
  nonsaturating: logistic,
  least_squares: squares,
  hinge: margins,
  wasserstein: (real, fake) => fake.mean().sub(real.mean()),
  relativistic: (real, fake) => softplus(fake.sub(real)).mean(),
};

/** The generator's loss of each sample, (batch,), from its score; a relativistic one takes the pair's real score too. */
export const GENERATOR: Record<Game, (fake: np.Array, real: np.Array | null) => np.Array> = {
  minimax: (fake) => softplus(fake).neg(),
  nonsaturating: (fake) => softplus(fake.neg()),
  least_squares: (fake) => np.square(fake.sub(1)).mul(0.5),
  hinge: (fake) => fake.neg(),
  wasserstein: (fake) => fake.neg(),
  relativistic: (fake, real) => softplus(real!.sub(fake)),
};
