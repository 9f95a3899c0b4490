/**
 * What the page says to the worker (`Command`) and what it hears back (`Report`). All of it passes `postMessage`.
 *
 * The worker holds one training at a time. It never speaks unasked but for states of a training that runs, at most
 * `view.frames` a second, and says `trouble` in place of an answer where something cannot be done. A setting whose
 * networks, batch or view have new shapes is compiled at its start, which takes a third of a second and about 10 MB
 * that stay: a page may end the worker after many of them, and make a new one.
 *
 *     const worker = new Worker(URL.createObjectURL(new Blob([source], { type: "text/javascript" })));
 *     worker.postMessage({ kind: "start", setting, view } satisfies Command);
 *     worker.onmessage = ({ data }: MessageEvent<Report>) => { … };
 */
import type { Setting } from "./setting.ts";

export * from "./setting.ts";

export type Player = "critic" | "generator";

/** What a state is to show. */
export interface View {
  /** [left, right, bottom, top] of the critic's field. */
  box: readonly [number, number, number, number];
  /** Points of the field in a row and in a column; 0 for no field. */
  field: number;
  /** Samples; the modes are counted on them. */
  samples: number;
  /** Of how many of these the arrows are computed: the first ones. */
  arrows: number;
  /** States a second, at most, while it runs. */
  frames: number;
}

export const VIEW: View = {
  box: [-1.6, 1.6, -1.6, 1.6],
  field: 40,
  samples: 1000,
  arrows: 100,
  frames: 12,
};

// ------------------------------------------------------------------------------------------- page to worker

export type Command =
  /** Build the networks of this setting, at step 0, and show them: `data`, then `state`. A running one ends. */
  | { kind: "start"; setting: Setting; view?: Partial<View> }
  /**
   * Go on until `pause`, or to the step `until`: there it rests, and answers `state`. pace: so many steps (or updates) a
   * second, or "full"; by updates each state has a `change`.
   */
  | { kind: "run"; pace: number | "full"; by?: "step" | "update"; until?: number }
  /** Stop after the step (or update) at hand; answers `state`. */
  | { kind: "pause" }
  /** Finish the step at hand, or take one; answers `state`. Pauses a running training. */
  | { kind: "step" }
  /**
   * One update, and what it changed; answers `state` with `change`. Pauses a running training.
   *
   * "next" is the update whose turn it is. A named player's update is one more, outside of the order of turns.
   */
  | { kind: "update"; player: Player | "next" }
  /** The same setting, with the present rates, again from step 0, or with another seed; answers as `start`. */
  | { kind: "reset"; seed?: number }
  /** Other learning rates from the next update on. */
  | { kind: "rates"; lrCritic: number; lrGenerator: number }
  /** Another view; answers `state`. */
  | { kind: "view"; view: Partial<View> };

// ------------------------------------------------------------------------------------------- worker to page

export type Report =
  | { kind: "data"; data: DataReport }
  | { kind: "state"; state: State }
  /**
   * Something could not be done; `message` is a sentence for the reader.
   *
   * over: the training is unusable, such as after a loss that is not finite: only `start` and `reset` help.
   */
  | { kind: "trouble"; message: string; over: boolean };

/** The data of a training, once at its start. Points lie in an array of x, y, x, y, … */
export interface DataReport {
  /** Some of them for the picture, (1000, 2). */
  points: Float32Array;
  /** Centres of the modes, (k, 2), or null for data without modes. */
  modes: Float32Array | null;
}

/** A training at a moment. */
export interface State {
  /** Whole steps so far. */
  steps: number;
  /** Updates of each player so far, extra ones included. */
  updates: Record<Player, number>;
  /** Whose update comes next, and how many of its `of` updates of this turn are done. */
  turn: { player: Player; done: number; of: number };
  running: boolean;
  /** Measured over the last second or so of running; null before. */
  stepsPerSecond: number | null;
  /** Of the latest steps. */
  losses: Losses;
  /** Samples of the same z at every state, of the generator as it is, (view.samples, 2). */
  samples: Float32Array;
  /** Samples of new z at every state, (view.samples, 2). */
  fresh: Float32Array;
  /** Samples of the same z as `samples`, of the moving average of the generator's weights. */
  ema: Float32Array;
  /**
   * For the first samples the direction in which a generator that could move each of them freely would move it,
   * (view.arrows, 2): -∂/∂x̃ of the generator's loss of this one sample, -ℓ'(f(x̃)) ∇f(x̃).
   *
   * So the minimax generator's arrows vanish where the critic is sure, as its gradient does. A relativistic loss is
   * that of pairs with data points.
   */
  arrows: Float32Array;
  /**
   * The critic's scores f in the middles of field × field cells of the box, row by row from the lowest y; empty for
   * view.field = 0.
   */
  field: Float32Array;
  /** Of the view. */
  box: View["box"];
  /** Counted on `samples`, and on `ema`; null for data without modes. */
  modes: Modes | null;
  emaModes: Modes | null;
  /** What the latest update changed, where it was asked for by update; else null. */
  change: Change | null;
}

/** The losses of the steps from + 0, from + 1, …; each player's at the last of its updates in the step. */
export interface Losses {
  /** Number of the first one, counted from 0. At most the latest LATE steps. */
  from: number;
  /** The adversarial part of the critic's loss, and its penalties' sum (zeros without one). */
  critic: Float32Array;
  penalty: Float32Array;
  generator: Float32Array;
}

export const LATE = 500;

/**
 * As the package counts them: a sample is good if it is within 3 sigma of the nearest mode, and a mode is found if it
 * has a good sample. Quality is the share of good samples. hits: good samples at each mode.
 */
export interface Modes {
  found: number;
  of: number;
  quality: number;
  hits: number[];
}

/** What one update did, on the batch that it learned from. */
export interface Change {
  player: Player;
  /** Both players' whole losses on this batch, before and after. */
  before: Record<Player, number>;
  after: Record<Player, number>;
  /** Lengths: of the loss's gradient in the player's weights, of the weights' change, and of the weights before. */
  gradient: number;
  moved: number;
  weights: number;
  /** The batch's data, and its samples before and after (equal unless the generator learned), (batch, 2) each. */
  real: Float32Array;
  fake: Float32Array;
  fakeAfter: Float32Array;
}
