/**
 * A GAN that learns: networks, optimisers, moving average and batches of a setting, an update or a step at a time.
 *
 * It is the package's `fit(adversaries(…), Feed(…), …)` with an `EMA`: in each step the critic has `nCritic` updates,
 * then the generator `nGenerator`, each on a batch of its own.
 */
import { type Batch, countModes, type Data, drawBatch, makeData } from "./data.ts";
import { Differentiator, type Gradients } from "./gradients.ts";
import { firstWeights, type Numbers, sizes } from "./networks.ts";
import { clipWeights, MovingAverage, Optimiser } from "./optimiser.ts";
import { type Change, LATE, type Losses, type Player, type State, type View } from "./protocol.ts";
import { Random } from "./random.ts";
import type { Optimizer, Setting } from "./setting.ts";

/** A loss became NaN or infinite: the weights are of no use any more. */
export class NonFiniteLoss extends Error {
  override name = "NonFiniteLoss";
}

type Terms = Record<keyof Omit<Losses, "from">, number>;

interface Learner {
  weights: Numbers;
  optimiser: Optimiser;
  /** So far, those out of order included. */
  updates: number;
}

export class Training {
  readonly data: Data;
  readonly players: Record<Player, Learner>;
  readonly average: MovingAverage;
  steps = 0;
  private readonly differentiator: Differentiator;
  /** Of the latest whole steps, and of the step at hand. */
  private readonly late: Terms[] = [];
  private readonly terms: Terms = { critic: 0, penalty: 0, generator: 0 };
  private turn: { player: Player; done: number } = { player: "critic", done: 0 };
  private batches = 0;
  private looks = 0;

  /**
   * Tests hand over batch number n, where it is not the setting's own, first weights, and another differentiator.
   */
  constructor(
    readonly setting: Setting,
    private readonly more: {
      batch?: (n: number) => Batch;
      weights?: Record<Player, Numbers>;
      differentiator?: Differentiator;
    } = {},
  ) {
    this.data = makeData(setting);
    this.differentiator = more.differentiator ?? new Differentiator(setting);
    const learner = (player: Player, kind: Optimizer, lr: number): Learner => {
      const random = new Random(setting.seed, "weights", player);
      const weights = more.weights?.[player] ?? firstWeights(sizes(setting, player), random);
      return { weights, optimiser: new Optimiser(kind, setting, weights, lr), updates: 0 };
    };
    this.players = {
      critic: learner("critic", setting.optimizerCritic, setting.lrCritic),
      generator: learner("generator", setting.optimizerGenerator, setting.lrGenerator),
    };
    this.average = new MovingAverage(
      this.players.generator.weights,
      setting.halfLife,
      setting.batch,
    );
  }

  /** Free what jax-js holds. */
  dispose(): void {
    this.differentiator.dispose();
  }

  set rates({ critic, generator }: Record<Player, number>) {
    this.players.critic.optimiser.lr = critic;
    this.players.generator.optimiser.lr = generator;
  }

  // ----------------------------------------------------------------------------------------------- learning

  /** The rest of the step at hand, or a whole one. Throws NonFiniteLoss. */
  step(): void {
    const before = this.steps;
    while (this.steps === before) this.next();
  }

  /** The update whose turn it is; the last one ends the step. */
  next(): void {
    const { player } = this.turn;
    const { game, penalty } = this.learn(player, this.nextBatch());
    this.terms[player] = game;
    if (player === "critic") this.terms.penalty = penalty;
    this.turn.done += 1;
    if (this.turn.done < this.updatesOf(player)) return;
    this.turn = { player: player === "critic" ? "generator" : "critic", done: 0 };
    if (player === "generator") this.endStep();
  }

  private endStep(): void {
    this.average.step();
    this.steps += 1;
    this.late.push({ ...this.terms });
    if (this.late.length > 2 * LATE) this.late.splice(0, LATE);
  }

  /** One update, of the player whose turn it is or of one out of order, and what it changed. */
  update(which: Player | "next"): Change {
    const player = which === "next" ? this.turn.player : which;
    const batch = this.batch(this.batches); // the one that it will learn from
    const { weights } = this.players[player];
    const start = weights.map(({ values }) => values.slice());
    const [before, fake] = [
      this.losses(batch),
      this.samples(this.players.generator.weights, batch.z),
    ];
    if (which === "next") this.next();
    else this.learn(player, this.nextBatch());
    const [after, fakeAfter] = [
      this.losses(batch),
      this.samples(this.players.generator.weights, batch.z),
    ];
    return {
      player,
      before: { critic: whole(before.critic), generator: whole(before.generator) },
      after: { critic: whole(after.critic), generator: whole(after.generator) },
      gradient: length(before[player].gradients),
      moved: length(weights.map(({ values }, k) => values.map((w, i) => w - start[k][i]))),
      weights: length(start),
      real: batch.real,
      fake,
      fakeAfter,
    };
  }

  private learn(player: Player, batch: Batch): Gradients {
    const own = this.players[player];
    const found = this.gradients(player, batch);
    if (!Number.isFinite(found.game + found.penalty)) throw this.nonFinite(player, found);
    own.optimiser.step(found.gradients);
    if (player === "critic" && this.setting.clip) clipWeights(own.weights, this.setting.clip);
    own.updates += 1;
    return found;
  }

  /** A player's loss on a batch, and its gradient in its own weights. */
  gradients(player: Player, batch: Batch): Gradients {
    return this.differentiator[player](
      this.players.critic.weights,
      this.players.generator.weights,
      batch,
    );
  }

  private losses(batch: Batch): Record<Player, Gradients> {
    return {
      critic: this.gradients("critic", batch),
      generator: this.gradients("generator", batch),
    };
  }

  private nonFinite(player: Player, { game, penalty }: Gradients): NonFiniteLoss {
    const [what, value] = Number.isFinite(game) ? ["penalty", penalty] : ["loss", game];
    return new NonFiniteLoss(
      `Step ${this.steps}: the ${player}'s ${what} became ${Number.isNaN(value) ? "not a number" : "infinite"}. ` +
        "Likely causes: a learning rate too high, or a Wasserstein critic without clipping or penalty. " +
        "The weights are unusable: change the setting, or reset.",
    );
  }

  private batch(n: number): Batch {
    return this.more.batch ? this.more.batch(n) : drawBatch(this.setting, this.data, n);
  }

  private nextBatch(): Batch {
    return this.batch(this.batches++);
  }

  private updatesOf(player: Player): number {
    return player === "critic" ? this.setting.nCritic : this.setting.nGenerator;
  }

  // ------------------------------------------------------------------------------------------------ looking

  /** Samples (n, 2) of z (n, latent) by weights of a generator. */
  samples(weights: Numbers, z: Float32Array): Float32Array {
    return this.differentiator.samples(weights, z);
  }

  /** The training as a page shows it. Nothing is changed by looking. */
  look(view: View): Omit<State, "running" | "stepsPerSecond" | "change"> {
    const { critic, generator } = this.players;
    const n = view.samples * this.setting.latent;
    const z = new Random(this.setting.seed, "pictures").normals(n);
    const fresh = new Random(this.setting.seed, "fresh", this.looks++).normals(n);
    const samples = this.samples(generator.weights, z);
    const ema = this.samples(this.average.weights, z);
    const { player, done } = this.turn;
    return {
      steps: this.steps,
      updates: { critic: critic.updates, generator: generator.updates },
      turn: { player, done, of: this.updatesOf(player) },
      losses: this.lateLosses(),
      samples,
      fresh: this.samples(generator.weights, fresh),
      ema,
      arrows: this.arrows(samples.slice(0, 2 * view.arrows)),
      field: this.field(view),
      box: view.box,
      modes: countModes(samples, this.data),
      emaModes: countModes(ema, this.data),
    };
  }

  private lateLosses(): Losses {
    const late = this.late.slice(-LATE);
    const of = (term: keyof Terms) => Float32Array.from(late, (terms) => terms[term]);
    return {
      from: this.steps - late.length,
      critic: of("critic"),
      penalty: of("penalty"),
      generator: of("generator"),
    };
  }

  private arrows(samples: Float32Array): Float32Array {
    if (!samples.length) return new Float32Array(0);
    return this.differentiator.arrows(
      this.players.critic.weights,
      samples,
      this.data.values.slice(0, samples.length),
    );
  }

  private field({ box: [left, right, bottom, top], field }: View): Float32Array {
    if (!field) return new Float32Array(0);
    const points = new Float32Array(2 * field * field);
    for (let row = 0; row < field; row++)
      for (let column = 0; column < field; column++) {
        const k = 2 * (row * field + column);
        points[k] = left + ((right - left) * (column + 0.5)) / field;
        points[k + 1] = bottom + ((top - bottom) * (row + 0.5)) / field;
      }
    return this.differentiator.scores(this.players.critic.weights, points);
  }
}

function whole({ game, penalty }: Gradients): number {
  return game + penalty;
}

function length(parts: ArrayLike<number>[]): number {
  let square = 0;
  for (const part of parts) for (let i = 0; i < part.length; i++) square += part[i] ** 2;
  return Math.sqrt(square);
}
