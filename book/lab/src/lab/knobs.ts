/** The controls: each changes one part of the setting, and shows what it is. */
import {
  CHOICES,
  type ChoiceKey,
  type NumberKey,
  NUMBERS,
  type Setting,
} from "../engine/setting.ts";
import { OBJECTIVES, objectiveOf, type ObjectiveName, withObjective } from "../engine/presets.ts";
import { h, newId, say } from "./dom.ts";
import { number } from "./words.ts";

export type KnobName = NumberKey | ChoiceKey | "objective";

/** A control in the page: `show` sets it to a setting. */
export interface Knob {
  element: HTMLElement;
  show(setting: Setting): void;
}

/** settle: whether the reader has let go, so that a training may start anew. */
export type Changed = (part: Partial<Setting>, settled: boolean) => void;

/** Words shorter than those of the engine's messages, for labels. */
const LABELS: Partial<Record<KnobName, string>> = {
  data: "Data",
  objective: "Objective",
  game: "Loss",
  penalty: "Penalty",
  optimizerCritic: "Critic’s optimiser",
  optimizerGenerator: "Generator’s optimiser",
  sigma: "Width of a mode (σ)",
  size: "Size of the data",
  shift: "Shift to the right",
  weight: "Weight of the penalty",
  clip: "Clip weights to ±",
  lrCritic: "Critic’s learning rate",
  lrGenerator: "Generator’s learning rate",
  beta1: "β₁ of Adam",
  beta2: "β₂ of Adam",
  nCritic: "Critic’s updates a step",
  nGenerator: "Generator’s updates a step",
  batch: "Batch size",
  width: "Units in a layer",
  depth: "Hidden layers",
  latent: "Dimensions of z",
  halfLife: "Average: half-life, in samples",
  seed: "Seed",
};

/** The ends of sliders where all that is allowed would be too wide a range for a hand. */
const SLIDERS: Partial<Record<NumberKey, [number, number]>> = {
  sigma: [0.005, 0.3],
  weight: [0.01, 100],
  clip: [0.001, 1],
  lrCritic: [1e-5, 1e-1],
  lrGenerator: [1e-5, 1e-1],
  width: [4, 256],
  halfLife: [1000, 1_000_000],
};
const LOGARITHMIC = new Set<NumberKey>(["weight", "width", "batch"]);
const usesAdam = ({ optimizerCritic, optimizerGenerator }: Setting) =>
  optimizerCritic === "adam" || optimizerGenerator === "adam";
/** Where a part of the setting has no effect, its knob is not shown. */
const NEEDED: Partial<Record<KnobName, (setting: Setting) => boolean>> = {
  weight: ({ penalty }) => penalty !== "none",
  clip: ({ game, clip }) => game === "wasserstein" || clip > 0,
  size: ({ data }) => data !== "points",
  shift: ({ data }) => data !== "points",
  beta1: usesAdam,
  beta2: usesAdam,
};

export function knob(name: KnobName, changed: Changed): Knob {
  const made = makeKnob(name, changed);
  const needed = NEEDED[name];
  return {
    element: made.element,
    show(setting) {
      made.element.hidden = needed ? !needed(setting) : false;
      made.show(setting);
    },
  };
}

function makeKnob(name: KnobName, changed: Changed): Knob {
  if (name === "objective") return objectiveKnob(changed);
  if (name === "seed") return seedKnob(changed);
  if (name in CHOICES) return choiceKnob(name as ChoiceKey, changed);
  return slider(name as NumberKey, changed);
}

function framed(name: string, label: string, id: string, ...content: Node[]): HTMLElement {
  return h("div", { class: "knob", "data-knob": name }, h("label", { for: id }, label), ...content);
}

function menu(options: Record<string, string>, id: string): HTMLSelectElement {
  const entries = Object.entries(options);
  return h("select", { id }, ...entries.map(([value, text]) => h("option", { value }, text)));
}

function choiceKnob(name: ChoiceKey, changed: Changed): Knob {
  const id = newId();
  const select = menu(CHOICES[name], id);
  select.onchange = () => changed({ [name]: select.value } as Partial<Setting>, true);
  return {
    element: framed(name, LABELS[name] ?? name, id, select),
    show: (setting) => void (select.value = setting[name]),
  };
}

/** The book's objectives, each a loss with its penalty, clipping and updates a step. */
function objectiveKnob(changed: Changed): Knob {
  const id = newId();
  const names = Object.keys(OBJECTIVES) as ObjectiveName[];
  const labels = Object.fromEntries(names.map((name) => [name, OBJECTIVES[name].label]));
  const select = menu({ ...labels, "": "another mixture" }, id);
  const other = select.lastElementChild as HTMLOptionElement;
  other.disabled = true;
  let shown: Setting;
  select.onchange = () => changed(withObjective(shown, select.value as ObjectiveName), true);
  return {
    element: framed("objective", LABELS.objective!, id, select),
    show(setting) {
      shown = setting;
      select.value = objectiveOf(setting) ?? "";
      other.hidden = select.value !== "";
    },
  };
}

function seedKnob(changed: Changed): Knob {
  const id = newId();
  const { least, most } = NUMBERS.seed;
  const input = h("input", {
    id,
    type: "number",
    min: least,
    max: most,
    step: 1,
    inputmode: "numeric",
  });
  input.onchange = () => changed({ seed: input.valueAsNumber }, true);
  const next = h(
    "button",
    {
      type: "button",
      onclick: () => changed({ seed: (Number(input.value) + 1) % (most + 1) }, true),
    },
    "Next seed",
  );
  return {
    element: framed("seed", LABELS.seed!, id, h("span", { class: "pair" }, input, next)),
    show: (setting) => void (input.value = String(setting.seed)),
  };
}

/** A slider, logarithmic where the range asks for it; the setting may lie between its stops, or beyond its ends. */
function slider(name: NumberKey, changed: Changed): Knob {
  const id = newId();
  const limits = NUMBERS[name];
  const [least, most] = SLIDERS[name] ?? [limits.least, limits.most];
  const log = limits.log || LOGARITHMIC.has(name);
  const stops = limits.whole && !log ? most - least : 60;
  const off = limits.off !== undefined; // its first stop is "none"
  const valueAt = (stop: number): number => {
    if (off && stop === 0) return limits.off!;
    const share = stop / stops;
    const value = log ? least * (most / least) ** share : least + (most - least) * share;
    return limits.whole ? Math.round(value) : Number(value.toPrecision(2));
  };
  const stopAt = (value: number): number => {
    if (off && value === limits.off) return 0;
    const share = log
      ? Math.log(value / least) / Math.log(most / least)
      : (value - least) / (most - least);
    return Math.round(stops * Math.max(off ? 1 / stops : 0, Math.min(1, share)));
  };
  const words = (value: number) => (off && value === limits.off ? "none" : number(value));
  const input = h("input", { id, type: "range", min: 0, max: stops, step: 1 });
  const output = h("output", { for: id });
  const show = (value: number) => {
    say(output, words(value));
    input.setAttribute("aria-valuetext", words(value));
  };
  let pending = false;
  input.oninput = () => {
    pending = true;
    const value = valueAt(input.valueAsNumber);
    show(value);
    changed({ [name]: value }, false);
  };
  input.onchange = () => {
    pending = false;
    changed({ [name]: valueAt(input.valueAsNumber) }, true);
  };
  return {
    element: framed(name, LABELS[name] ?? limits.label, id, output, input),
    show(setting) {
      if (pending) return; // under the reader's finger
      input.value = String(stopAt(setting[name]));
      show(setting[name]);
    },
  };
}

/** The knobs that are always there. */
export const FIRST: KnobName[] = ["data", "objective", "seed"];

/** All others, in the sections in which they are folded. */
export const SECTIONS: [title: string, names: KnobName[]][] = [
  ["Shape of the data", ["sigma", "size", "shift"]],
  ["Game", ["game", "penalty", "weight", "clip"]],
  [
    "Learning",
    [
      "lrCritic",
      "lrGenerator",
      "nCritic",
      "nGenerator",
      "batch",
      "optimizerCritic",
      "optimizerGenerator",
      "beta1",
      "beta2",
    ],
  ],
  ["Networks", ["width", "depth", "latent", "halfLife"]],
];
