/**
 * The networks of gan_tutorial/networks.py, built from a file alone: which one it is, and how wide and deep, is seen
 * from the names and shapes of its weights; what has no weights (activations, doublings) is as in the package.
 */

import {
  batchNorm,
  beside,
  chain,
  convolution,
  cropped,
  enlarged,
  flatten,
  leakyRelu,
  linear,
  maps,
  pixelShuffle,
  relu,
  tanh,
  transposed,
  unflatten,
  upsample,
  vector,
  type Layer,
  type Maps,
} from "./layers.ts";
import type { File, Tensor } from "./safetensors.ts";

export interface Generator {
  network: "generator" | "decoder"; // its name in the training: of a VAE it is the decoder
  latent: number;
  classes: number; // 0: it takes no label
  shape: number[];
  first: Tensor; // what multiplies z first, (outputs, latent …)
  parts: number[]; // how many numbers of z each level takes; of a network that is no stack, all
  /** The levels' images, the last is the sample. */
  levels: (z: Float32Array, label: number) => Maps[];
}

/** A level's score of an image; the coarser image is the condition of a stack's level. */
export type Critic = (image: Maps, label: number, coarse: Maps | null) => number;

export interface Model {
  recipe: string;
  generator: Generator;
  critics: Critic[]; // one for each level, or none: most files hold none
}

const unknown = (what: string) =>
  new Error(
    `This page cannot run the model: ${what}. It runs the generators and critics of the package's recipes.`,
  );

/** The weights whose names begin alike, by the rest of their names; those that were read are noted. */
class Weights {
  private readonly all: Map<string, Tensor>;
  private readonly prefix: string;
  private readonly used: Set<string>;

  constructor(all: Map<string, Tensor>, prefix: string, used = new Set<string>()) {
    [this.all, this.prefix, this.used] = [all, prefix, used];
  }

  part(prefix: string): Weights {
    return new Weights(this.all, this.prefix + prefix, this.used);
  }

  names(): string[] {
    const own = [...this.all.keys()].filter((name) => name.startsWith(this.prefix));
    return own.map((name) => name.slice(this.prefix.length));
  }

  unused(): string[] {
    return this.names().filter(
      (name) => !this.used.has(this.prefix + name) && !name.endsWith("num_batches_tracked"),
    );
  }

  /** How many dimensions a weight has; 0 where there is none. */
  dimensions(name: string): number {
    const full = this.prefix + name;
    return (this.all.get(full) ?? this.all.get(spectral(full, "original")))?.shape.length ?? 0;
  }

  get(name: string, ...shape: (number | null)[]): Tensor {
    const found = this.read(this.prefix + name) ?? this.normalized(this.prefix + name);
    if (!found) throw unknown(`it has no ${this.prefix}${name}`);
    const fits = shape.every((side, i) => side === null || side === found.shape[i]);
    if (found.shape.length !== shape.length || !fits) {
      throw unknown(`its ${this.prefix}${name} has the shape (${found.shape.join(", ")})`);
    }
    return found;
  }

  private read(full: string): Tensor | undefined {
    this.used.add(full);
    return this.all.get(full);
  }

  /** A weight under spectral normalisation: divided by u·Wv, its largest singular value. */
  private normalized(full: string): Tensor | undefined {
    const [w, u, v] = ["original", "0._u", "0._v"].map((end) => this.read(spectral(full, end)));
    if (!w || !u || !v) return undefined;
    const columns = w.values.length / w.shape[0];
    let sigma = 0;
    for (let i = 0; i < w.values.length; i++) {
      sigma += u.values[Math.floor(i / columns)] * w.values[i] * v.values[i % columns];
    }
    return { shape: w.shape, values: w.values.map((value) => value / sigma) };
  }

  /** The places in a Sequential where there are weights, in order. */
  places(): number[] {
    const found = new Set(this.names().map((name) => Number(name.split(".")[0])));
    return [...found].sort((a, b) => a - b);
  }
}

const spectral = (name: string, end: string) =>
  name.replace(/([^.]+)$/, `parametrizations.$1.${end}`);

// ------------------------------------------------------------------------------------------------ parts of a Sequential

/** Reads a Sequential from its start to its end; whatever it does not expect is an unknown network. */
class Reader {
  private next = 0; // its place
  private readonly weights: Weights;
  readonly layers: Layer[] = [];

  constructor(weights: Weights) {
    this.weights = weights;
  }

  private name(rest: string): string {
    return `${this.next}.${rest}`;
  }

  /** How many dimensions the weight at this place has. */
  dimensions(rest = "weight"): number {
    return this.weights.dimensions(this.name(rest));
  }

  done(): boolean {
    return !this.weights.places().some((place) => place >= this.next);
  }

  /** What has no weights, at a place of its own. */
  plain(layer: Layer): void {
    if (this.weights.places().includes(this.next))
      throw unknown(`its layer ${this.next} is not where it is expected`);
    this.layers.push(layer);
    this.next++;
  }

  linear(inputs: number | null = null): Tensor {
    const weight = this.weights.get(this.name("weight"), null, inputs);
    this.layers.push(linear(weight, this.weights.get(this.name("bias"), weight.shape[0])));
    this.next++;
    return weight;
  }

  convolution(inputs: number | null, stride: number, kernel: number, place = ""): number {
    const weight = this.weights.get(this.name(`${place}weight`), null, inputs, kernel, kernel);
    const bias = this.weights.get(this.name(`${place}bias`), weight.shape[0]);
    this.layers.push(convolution(weight, bias, stride, 1));
    if (!place) this.next++;
    return weight.shape[0];
  }

  norm(channels: number): void {
    if (this.dimensions() !== 1) return; // no norm here
    const of = (name: string) => this.weights.get(this.name(name), channels);
    this.layers.push(batchNorm(of("weight"), of("bias"), of("running_mean"), of("running_var")));
    this.next++;
  }

  /** One of the package's three ways to double a map. Returns its channels. */
  up(inputs: number): number {
    let outputs: number;
    if (this.dimensions()) {
      const weight = this.weights.get(this.name("weight"), inputs, null, 4, 4);
      outputs = weight.shape[1];
      this.layers.push(transposed(weight, this.weights.get(this.name("bias"), outputs), 2, 1));
    } else if (this.dimensions("0.weight")) {
      outputs = this.convolution(inputs, 1, 3, "0.") / 4;
      this.layers.push(pixelShuffle);
    } else {
      this.layers.push(upsample);
      outputs = this.convolution(inputs, 1, 3, "1.");
    }
    this.next++;
    return outputs;
  }
}

/** The network, if all of its weights were read: what is left over would change what it draws. */
function complete<Network>(weights: Weights, network: Network): Network {
  const [left] = weights.unused();
  if (left) throw unknown(`nothing is known of its ${left}`);
  return network;
}

// ----------------------------------------------------------------------------------------------------------- generators

interface Level {
  latent: number;
  first: Tensor;
  draw: (z: Float32Array, label: number, coarse: Maps | null) => Maps;
}

const TABLE = "condition.table.weight";

/** z with the label's code behind it: `OneHot` has no weights and adds `classes` numbers, `Embedding` has a table. */
function labelled(weights: Weights, latent: number, inputs: number, classes: number) {
  const table = weights.dimensions(TABLE)
    ? weights.get(TABLE, classes, inputs - latent).values
    : null;
  if (inputs === latent) return (z: Float32Array) => z;
  if (!table && inputs - latent !== classes)
    throw unknown(`it takes ${inputs} numbers, and z has ${latent}`);
  return (z: Float32Array, label: number) => {
    const joined = new Float32Array(inputs);
    joined.set(z);
    if (table)
      joined.set(
        table.subarray(label * (inputs - latent), (label + 1) * (inputs - latent)),
        latent,
      );
    else joined[latent + label] = 1;
    return joined;
  };
}

/** MLPGenerator or ConvGenerator, of images of this shape. */
function single(weights: Weights, shape: number[], latent: number | null, classes: number): Level {
  const reader = new Reader(weights.part("layers."));
  const first = reader.linear();
  const [channels, height, width] = shape;
  const ups = weights.names().filter((name) => weights.dimensions(name) === 4).length;
  if (ups) {
    const [tall, wide] = [Math.ceil(height / 2 ** ups), Math.ceil(width / 2 ** ups)];
    let maps = first.shape[0] / (tall * wide);
    if (!Number.isInteger(maps))
      throw unknown(`its first layer makes no maps of ${tall} by ${wide}`);
    reader.plain(unflatten(maps, tall, wide));
    for (let k = 0; k < ups; k++) {
      reader.norm(maps);
      reader.plain(relu);
      maps = reader.up(maps);
    }
    if (maps !== channels)
      throw unknown(`it makes ${maps} channels, and its card says ${channels}`);
  } else {
    let outputs = first.shape[0];
    while (!reader.done()) {
      reader.plain(relu);
      outputs = reader.linear(outputs).shape[0];
    }
    if (outputs !== channels * height * width) throw unknown(`it makes ${outputs} numbers`);
    reader.plain(unflatten(channels, height, width));
  }
  if (!reader.done()) throw unknown("it has more layers");
  const net = chain([...reader.layers, tanh]);
  const size = latent ?? first.shape[1];
  const join = labelled(weights, size, first.shape[1], classes);
  return {
    latent: size,
    first,
    draw: (z, label) => cropped(net(vector(join(z, label))), height, width),
  };
}

/** LaplacianLevel: tanh(gain · enlarged coarse image + residual). */
function laplacian(weights: Weights, shape: number[]): Level {
  const [channels, height, width] = shape;
  const [tall, wide] = [height / 2, width / 2];
  const first = weights.get("noise.0.weight", tall * wide, null);
  const noise = linear(first, weights.get("noise.0.bias", tall * wide));
  const [gain] = weights.get("gain").values;
  const reader = new Reader(weights.part("residual."));
  let inputs = channels + 1;
  for (let k = 0; k < 2; k++) {
    inputs = reader.convolution(inputs, 1, 3);
    reader.norm(inputs);
    reader.plain(relu);
  }
  if (reader.up(inputs) !== channels || !reader.done()) throw unknown("a level has more layers");
  const residual = chain(reader.layers);
  return {
    latent: first.shape[1],
    first,
    draw(z, _, coarse) {
      if (!coarse) throw unknown("a level without a coarser one");
      const made = residual(beside(coarse, maps(1, tall, wide, noise(vector(z)).values)));
      const image = enlarged(coarse, height, width);
      return tanh({ ...made, values: made.values.map((v, i) => gain * image.values[i] + v) });
    },
  };
}

function generator(file: File): Generator {
  const found = (["generator", "decoder"] as const).map((network) => ({
    network,
    weights: new Weights(file.tensors, `model.${network}.`),
  }));
  const { network, weights } = found.find((one) => one.weights.names().length) ?? found[0];
  const { card } = file;
  const { shape, classes } = card;
  const latent = card.settings.latent_dim;
  if (shape.length !== 3 || ![1, 3].includes(shape[0])) {
    throw unknown(
      `its samples have the shape (${shape.join(", ")}), and it draws images, grey or in colour`,
    );
  }
  const count = weights.part("levels.").places().length;
  const levels: Level[] = [];
  for (let k = 0; k < count; k++) {
    const own = weights.part(`levels.${k}.`);
    const size = [shape[0], ...shape.slice(1).map((side) => side / 2 ** (count - 1 - k))];
    levels.push(own.names().includes("gain") ? laplacian(own, size) : single(own, size, null, 0));
  }
  if (!count) levels.push(single(weights, shape, latent, classes));
  const parts = levels.map((level) => level.latent);
  if (parts.reduce((sum, n) => sum + n, 0) !== latent) {
    throw unknown(`its levels take ${parts.join(" + ")} numbers`);
  }
  return complete(weights, {
    network,
    latent,
    classes: count || levels[0].first.shape[1] === latent ? 0 : classes,
    shape,
    first: levels[0].first,
    parts,
    levels(z, label) {
      const made: Maps[] = [];
      let from = 0;
      for (const level of levels) {
        made.push(level.draw(z.subarray(from, from + level.latent), label, made.at(-1) ?? null));
        from += level.latent;
      }
      return made;
    },
  });
}

// -------------------------------------------------------------------------------------------------------------- critics

/** MLPCritic or ConvCritic: layers, then w·h + b, and v(label)·h under `Projection`. */
function critic(weights: Weights, classes: number): Critic {
  const reader = new Reader(weights.part("layers."));
  const convolutional = reader.dimensions() === 4;
  let inputs = 0; // of the first layer
  for (let maps: number | null = null; reader.dimensions() === 4;) {
    if (maps === null) inputs = weights.get("layers.0.weight", null, null, 4, 4).shape[1];
    maps = reader.convolution(maps, 2, 4);
    reader.norm(maps);
    reader.plain(leakyRelu);
  }
  if (convolutional) reader.plain(flatten);
  while (!reader.done()) {
    const weight = reader.linear();
    reader.plain(leakyRelu);
    if (!inputs) inputs = weight.shape[1];
  }
  const net = chain(reader.layers);
  const w = weights.get("score.linear.weight", 1, null);
  const features = w.shape[1];
  const [b] = weights.get("score.linear.bias", 1).values;
  const projected = weights.dimensions("score.project.weight");
  const project = projected ? weights.get("score.project.weight", classes, features).values : null;
  const table = weights.dimensions(TABLE) ? weights.get(TABLE, classes, null).values : null;

  /** What stands beside an image as its condition, `extra` numbers or maps. */
  function condition(extra: number, label: number, coarse: Maps | null): Maps {
    if (coarse?.channels === extra) return coarse;
    if (table) return vector(table.subarray(label * extra, (label + 1) * extra));
    if (extra !== classes) throw unknown(`its critic takes ${extra} more inputs`);
    return vector(Float32Array.from({ length: extra }, (_, k) => Number(k === label)));
  }
  return (image, label, coarse) => {
    let x = convolutional ? image : vector(image.values);
    const extra = inputs - x.channels;
    if (extra) x = beside(x, enlarged(condition(extra, label, coarse), x.height, x.width));
    const h = net(x).values;
    const own = (i: number) => (project ? project[label * features + i] : 0);
    return h.reduce((sum, v, i) => sum + v * (w.values[i] + own(i)), b);
  };
}

/**
 * What a file holds. The generator, or a VAE's decoder, is the training's average; the critic is one of the training, where that is kept, or
 * the one of another file.
 */
export function build(file: File, judge: File = file): Model {
  const made = generator(file);
  const weights = ["model.critic.", "net.critic."]
    .map((prefix) => new Weights(judge.tensors, prefix))
    .find((found) => found.names().length);
  const several = weights?.places().filter(Number.isInteger) ?? []; // a stack's critics are a list
  const critics = several.length
    ? several.map((k) => weights!.part(`${k}.`))
    : weights
      ? [weights]
      : [];
  return {
    recipe: file.card.recipe,
    generator: made,
    critics: critics.map((one) => complete(one, critic(one, file.card.classes))),
  };
}
