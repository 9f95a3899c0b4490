/**
 * The Dirac-GAN (Mescheder et al. 2018): all data at 0, the generator's one sample at θ, the critic f(x) = φx.
 *
 * Every gradient is a formula. The fake sample's score is a = φθ and the real one's is 0, so that the critic's loss has
 * the derivative ℓ_C'(a) θ in φ, and the generator's ℓ_G'(a) φ in θ. The slope of f is φ everywhere, and so a penalty
 * is a function of φ alone, wherever it looks.
 */
import type { Game, Penalty } from "./setting.ts";

export interface DiracSetting {
  game: Game;
  penalty: Penalty;
  /** γ of R1 and R2, λ of the gradient penalty. */
  weight: number;
  /** After each step φ goes back into [-clip, clip]; 0 for no clipping. */
  clip: number;
  /** The learning rate of both players' gradient descent. */
  rate: number;
  /** Both at once, from the same place; or the critic first, whose move the generator sees. */
  order: "simultaneous" | "alternating";
}

export const DIRAC: DiracSetting = {
  game: "minimax",
  penalty: "r1",
  weight: 0,
  clip: 0,
  rate: 0.1,
  order: "simultaneous",
};

/** (θ, φ). */
export type Place = readonly [number, number];

/** σ(a) = 1 / (1 + e⁻ᵃ). */
function sigmoid(a: number): number {
  return 1 / (1 + Math.exp(-a));
}

/** ℓ_C'(a): the derivative of the critic's loss in the fake sample's score. */
const CRITIC: Record<Game, (a: number) => number> = {
  minimax: sigmoid,
  nonsaturating: sigmoid,
  least_squares: (a) => a,
  hinge: (a) => (a > -1 ? 1 : 0),
  wasserstein: () => 1,
  relativistic: sigmoid,
};

/** ℓ_G'(a): the derivative of the generator's loss in the fake sample's score. */
const GENERATOR: Record<Game, (a: number) => number> = {
  minimax: (a) => -sigmoid(a),
  nonsaturating: (a) => -sigmoid(-a),
  least_squares: (a) => a - 1,
  hinge: () => -1,
  wasserstein: () => -1,
  relativistic: (a) => -sigmoid(-a),
};

/** The penalties' derivatives in φ, without their weight: γ/2 φ² for R1 and for R2, λ (|φ| - 1)². */
const PENALTY: Record<Penalty, (phi: number) => number> = {
  none: () => 0,
  r1: (phi) => phi,
  r2: (phi) => phi,
  r1_r2: (phi) => 2 * phi,
  gradient_penalty: (phi) => 2 * (Math.abs(phi) - 1) * Math.sign(phi),
};

/** The velocities (dθ/dt, dφ/dt) of players who follow their gradients, without clipping. */
export function velocity(setting: DiracSetting, [theta, phi]: Place): [number, number] {
  const a = phi * theta;
  return [
    -GENERATOR[setting.game](a) * phi,
    -CRITIC[setting.game](a) * theta - setting.weight * PENALTY[setting.penalty](phi),
  ];
}

/** Where the players are after one step. */
export function diracStep(setting: DiracSetting, [theta, phi]: Place): Place {
  const { rate, clip, order } = setting;
  const moved = phi + rate * velocity(setting, [theta, phi])[1];
  const critic = clip ? Math.max(-clip, Math.min(clip, moved)) : moved;
  const seen = order === "simultaneous" ? phi : critic;
  return [theta + rate * velocity(setting, [theta, seen])[0], critic];
}

/** The places from the start on, (steps + 1) of them. */
export function diracPath(setting: DiracSetting, start: Place, steps: number): Place[] {
  const path = [start];
  for (let k = 0; k < steps; k++) path.push(diracStep(setting, path[k]));
  return path;
}

/**
 * How near the equilibrium (0, 0) of the minimax and the non-saturating game with R1 the distance changes: the larger
 * |1 + ηλ| of a simultaneous step, from the eigenvalues λ = -γ/2 ± ½√(γ² - 1) of the velocities' Jacobian. Below 1
 * the players arrive.
 */
export function contraction(gamma: number, rate: number): number {
  const square = gamma * gamma - 1;
  if (square < 0) return Math.hypot(1 - (rate * gamma) / 2, (rate * Math.sqrt(-square)) / 2);
  const root = Math.sqrt(square);
  return Math.max(...[root, -root].map((r) => Math.abs(1 + (rate * (r - gamma)) / 2)));
}
