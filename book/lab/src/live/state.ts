/** What is shown: the point z and the label, as numbers that fit into an address. */

import { add, inner, walk } from "./latent.ts";
import type { Generator } from "./networks.ts";
import { normal } from "./random.ts";

export interface State {
  seed: number; // z is drawn with it
  to: number; // where a walk leads: the z of another seed
  t: number; // how far it has come, from 0 to 1
  label: number;
  held: Map<number, number>; // direction -> coordinate that was chosen for it
  detail: number | null; // a seed of its own for the finer levels of a stack
}

export const LARGEST_SEED = 999_999;
export const REACH = 3; // of a slider, in standard deviations

export const start = (): State => ({
  seed: 0,
  to: 1,
  t: 0,
  label: 0,
  held: new Map(),
  detail: null,
});

const kept = new Map<string, Float32Array>();

/** The z of a seed. The last few are kept: on a walk they are asked for at each step. */
function point(seed: number, n: number): Float32Array {
  const key = `${seed} ${n}`;
  const z = kept.get(key) ?? normal(seed, n);
  if (kept.size > 100) kept.clear();
  kept.set(key, z);
  return z;
}

/** The z of a state: of its seed, on the way to the other, moved along the directions, with noise for the details. */
export function latent(state: State, generator: Generator, axes: Float32Array[]): Float32Array {
  const z = walk(normal(state.seed, generator.latent), normal(state.to, generator.latent), state.t);
  for (const [k, value] of state.held) add(z, axes[k], value - inner(z, axes[k]));
  const first = generator.parts[0];
  if (state.detail !== null) z.set(point(state.detail, generator.latent).subarray(first), first);
  return z;
}

/** "live=dcgan&seed=7&t=0.25": what differs from the start. */
export function encode(model: string, state: State): string {
  const { held } = state;
  const parts = new URLSearchParams({ live: model });
  if (state.seed) parts.set("seed", String(state.seed));
  if (state.label) parts.set("label", String(state.label));
  if (state.to !== state.seed + 1) parts.set("to", String(state.to));
  if (state.t) parts.set("t", String(Number(state.t.toFixed(3))));
  if (held.size) parts.set("held", [...held].map(([k, v]) => `${k}:${v.toFixed(1)}`).join("_"));
  if (state.detail !== null) parts.set("detail", String(state.detail));
  return parts.toString();
}

/** The state of such an address; what is missing or makes no sense in it is as at the start. */
export function decode(text: string, classes: number, directions: number): State {
  const given = new URLSearchParams(text);
  const whole = (name: string, most: number): number | null => {
    const value = given.get(name) ?? "";
    return /^\d+$/.test(value) && Number(value) <= most ? Number(value) : null;
  };
  const state = start();
  state.seed = whole("seed", LARGEST_SEED) ?? 0;
  state.to = whole("to", LARGEST_SEED) ?? state.seed + 1;
  state.label = whole("label", Math.max(0, classes - 1)) ?? 0;
  state.detail = whole("detail", LARGEST_SEED);
  const t = Number(given.get("t"));
  state.t = t > 0 && t <= 1 ? t : 0;
  for (const [, k, v] of given.get("held")?.matchAll(/(\d+):(-?\d+(?:\.\d+)?)/g) ?? []) {
    if (Number(k) < directions && Math.abs(Number(v)) <= REACH)
      state.held.set(Number(k), Number(v));
  }
  return state;
}

/** The model that an address asks for. */
export const asked = (hash: string): string | null =>
  /^#live=/.test(hash) ? new URLSearchParams(hash.slice(1)).get("live") : null;

/** Python that draws the same. */
export function python(model: string, state: State, generator: Generator): string {
  const { latent: n, classes, network } = generator;
  const net = network === "decoder" ? 'model.networks["decoder"]' : "model.generator";
  const z = (name: string, seed: number) =>
    `${name} = torch.randn(1, ${n}, generator=torch.Generator().manual_seed(${seed}))`;
  const lines = [
    "import math",
    "",
    "import gan_tutorial as gt",
    "import torch",
    "",
    `model = gt.pretrained("${model}")`,
    z("z", state.seed),
  ];
  if (state.t) {
    lines.push(
      z("end", state.to),
      `angle = math.pi / 2 * ${Number(state.t.toFixed(3))}`,
      "z = math.cos(angle) * z + math.sin(angle) * end",
    );
  } else lines.splice(0, 2);
  if (state.detail !== null) {
    lines.push(
      z("detail", state.detail),
      "first = model.generator.levels[0].latent_dim",
      "z[:, first:] = detail[:, first:]",
    );
  }
  if (state.held.size) lines.push("# (here without what the sliders changed)");
  const label = classes ? `, torch.tensor([${state.label}])` : "";
  lines.push(`gt.plots.grid(gt.sample(${net}, z${label}))`);
  return lines.join("\n");
}
