/**
 * What a training in the laboratory is given: a `Setting`, its defaults, its limits, and its form in an address.
 *
 * Names and meanings are those of the Python package (`gan_tutorial`): a setting can be written as a program that
 * calls it (`toPython`), and trains the same networks by the same rules there.
 */

/** `ring`: 8 Gaussians; `grid`: 25 Gaussians; `roll`: the swiss roll; `points`: those that the reader drew. */
export type DataKind = "ring" | "grid" | "roll" | "points";

/**
 * Both players' losses, of scores f (logits, D = σ(f)); the package's `gt.NAME`.
 *
 * | name          | the critic minimises the mean of      | the generator minimises the mean of |
 * | ------------- | ------------------------------------- | ----------------------------------- |
 * | minimax       | softplus(-f(x)) + softplus(f(x̃))      | -softplus(f(x̃))                     |
 * | nonsaturating | softplus(-f(x)) + softplus(f(x̃))      | softplus(-f(x̃))                     |
 * | least_squares | ((f(x) - 1)² + f(x̃)²) / 2             | (f(x̃) - 1)² / 2                     |
 * | hinge         | relu(1 - f(x)) + relu(1 + f(x̃))       | -f(x̃)                               |
 * | wasserstein   | f(x̃) - f(x)                           | -f(x̃)                               |
 * | relativistic  | softplus(f(x̃) - f(x)), pair by pair   | softplus(f(x) - f(x̃))               |
 */
export type Game =
  "minimax" | "nonsaturating" | "least_squares" | "hinge" | "wasserstein" | "relativistic";

/**
 * What is added to the critic's loss, times `weight`; the package's `gt.NAME`.
 *
 * gradient_penalty  E (‖∇f(x̂)‖ - 1)² at x̂ = εx + (1 - ε)x̃
 * r1                E ‖∇f(x)‖² / 2 on data;  r2: the same on samples;  r1_r2: both
 */
export type Penalty = "none" | "gradient_penalty" | "r1" | "r2" | "r1_r2";

/** `adam(lr, (beta1, beta2))`, `RMSprop(lr)` with PyTorch's numbers, or plain gradient descent. */
export type Optimizer = "adam" | "rmsprop" | "sgd";

/** Coordinates in the plane. */
export type Point = readonly [number, number];

export interface Setting {
  data: DataKind;
  /** Where the reader's own points lie; empty for the other kinds of data. On a lattice of 1/200, see `snap`. */
  points: readonly Point[];
  /** Standard deviation of the Gaussian around each mode, around the roll, or around each of the reader's points. */
  sigma: number;
  /** Radius of the ring, half the side of the grid, or the factor of the roll (1: it fits into [-1, 1]²). */
  size: number;
  /** By how much the ring, grid or roll is moved to the right. */
  shift: number;

  game: Game;
  penalty: Penalty;
  /** λ of the gradient penalty, γ of R1 and R2. */
  weight: number;
  /** After each of its updates the critic's weights go back into [-clip, clip]; 0 for no clipping. */
  clip: number;

  optimizerCritic: Optimizer;
  optimizerGenerator: Optimizer;
  lrCritic: number;
  lrGenerator: number;
  /** Of both players' Adam. */
  beta1: number;
  beta2: number;
  /** Updates of the critic, and of the generator, in each step. */
  nCritic: number;
  nGenerator: number;
  batch: number;

  /** Units in each hidden layer of both networks (generator: ReLU; critic: leaky ReLU, 0.2). */
  width: number;
  /** Hidden layers of both networks. */
  depth: number;
  /** Dimensions of z, standard normal. */
  latent: number;

  /** Half-life of the moving average of the generator's weights, in samples seen, as the package's `EMA` takes it. */
  halfLife: number;
  /** Of first weights, data, batches and pictures. The same seed gives the same run on the same machine. */
  seed: number;
}

export const DEFAULTS: Setting = {
  data: "ring",
  points: [],
  sigma: 0.05,
  size: 1,
  shift: 0,
  game: "nonsaturating",
  penalty: "none",
  weight: 1,
  clip: 0,
  optimizerCritic: "adam",
  optimizerGenerator: "adam",
  lrCritic: 4e-3,
  lrGenerator: 1e-3,
  beta1: 0.5,
  beta2: 0.999,
  nCritic: 1,
  nGenerator: 1,
  batch: 128,
  width: 64,
  depth: 2,
  latent: 2,
  halfLife: 10_000,
  seed: 0,
};

const OPTIMIZERS = {
  adam: "Adam",
  rmsprop: "RMSProp",
  sgd: "plain gradient descent",
} as const satisfies Record<Optimizer, string>;

/** The settings that are one of a few words, each with what it is called in sentences and menus. */
export const CHOICES = {
  data: { ring: "8-ring", grid: "25-grid", roll: "swiss roll", points: "your own points" },
  game: {
    minimax: "minimax",
    nonsaturating: "non-saturating",
    least_squares: "least squares",
    hinge: "hinge",
    wasserstein: "Wasserstein",
    relativistic: "relativistic",
  },
  penalty: {
    none: "no penalty",
    gradient_penalty: "gradient penalty",
    r1: "R1",
    r2: "R2",
    r1_r2: "R1 and R2",
  },
  optimizerCritic: OPTIMIZERS,
  optimizerGenerator: OPTIMIZERS,
} as const satisfies { [K in ChoiceKey]: Record<Setting[K], string> };
export type ChoiceKey = "data" | "game" | "penalty" | "optimizerCritic" | "optimizerGenerator";

/** Limits of a number: `off` is a value outside of them that is allowed too; `log` says that a slider is logarithmic. */
export interface Limits {
  label: string;
  least: number;
  most: number;
  whole?: boolean;
  log?: boolean;
  off?: number;
}
export type NumberKey = Exclude<keyof Setting, ChoiceKey | "points">;

/** The settings that are numbers. */
export const NUMBERS: Record<NumberKey, Limits> = {
  sigma: { label: "standard deviation of a mode", least: 0.001, most: 0.5, log: true },
  size: { label: "size of the data", least: 0.1, most: 2.5 },
  shift: { label: "shift of the data", least: -5, most: 5 },
  weight: { label: "weight of the penalty", least: 0, most: 1000 },
  clip: { label: "bound of the critic's weights", least: 0.001, most: 10, log: true, off: 0 },
  lrCritic: { label: "learning rate of the critic", least: 1e-6, most: 1, log: true },
  lrGenerator: { label: "learning rate of the generator", least: 1e-6, most: 1, log: true },
  beta1: { label: "beta 1 of Adam", least: 0, most: 0.999 },
  beta2: { label: "beta 2 of Adam", least: 0, most: 0.9999 },
  nCritic: { label: "updates of the critic in a step", least: 1, most: 20, whole: true },
  nGenerator: { label: "updates of the generator in a step", least: 1, most: 20, whole: true },
  batch: { label: "batch size", least: 8, most: 512, whole: true },
  width: { label: "width of the hidden layers", least: 4, most: 256, whole: true },
  depth: { label: "hidden layers", least: 1, most: 4, whole: true },
  latent: { label: "dimensions of z", least: 1, most: 64, whole: true },
  halfLife: {
    label: "half-life of the moving average, in samples",
    least: 10,
    most: 10_000_000,
    log: true,
  },
  seed: { label: "seed", least: 0, most: 4_294_967_295, whole: true },
};

/** Most points that a reader may draw: they have to fit into a link. */
export const MOST_POINTS = 400;
/** The reader's points lie in [-REACH, REACH]². */
export const REACH = 3;
const PER_UNIT = 200;

/** The nearest coordinate that a link can hold: a whole multiple of 1/200 in [-3, 3]. */
export function snap(coordinate: number): number {
  const bounded = Math.min(REACH, Math.max(-REACH, coordinate));
  return Math.round(bounded * PER_UNIT) / PER_UNIT + 0; // + 0: no negative zero
}

/** A setting, or a link that holds one, that cannot be used; `message` is a sentence for the reader. */
export class SettingError extends Error {
  override name = "SettingError";
}

/** The setting with its defaults filled in and points snapped. Throws SettingError, with what to do, for a bad value. */
export function checkSetting(given: Partial<Setting>): Setting {
  const unknown = Object.keys(given).find((key) => !(key in DEFAULTS));
  if (unknown !== undefined) throw new SettingError(`There is no setting called “${unknown}”.`);
  const setting = { ...DEFAULTS, ...given };
  for (const key of Object.keys(CHOICES) as ChoiceKey[]) {
    if (typeof setting[key] !== "string" || !Object.hasOwn(CHOICES[key], setting[key]))
      throw new SettingError(
        `Expected ${key} to be one of ${Object.keys(CHOICES[key]).join(", ")}, got “${setting[key]}”.`,
      );
  }
  for (const key of Object.keys(NUMBERS) as NumberKey[]) checkNumber(key, setting[key]);
  return { ...setting, points: checkPoints(setting) };
}

/** Throws SettingError, with a sentence, unless the value is within the limits of this setting. */
export function checkNumber(key: NumberKey, value: unknown): void {
  const { label, least, most, whole, off } = NUMBERS[key];
  const good =
    typeof value === "number" && Number.isFinite(value) && (!whole || Number.isInteger(value));
  if (good && ((value >= least && value <= most) || value === off)) return;
  const kind = whole ? "a whole number" : "a number";
  const also = off === undefined ? "" : `, or ${off} for none`;
  throw new SettingError(
    `${capital(label)}: expected ${kind} from ${least} to ${most}${also}, got ${String(value)}.`,
  );
}

function capital(text: string): string {
  return text[0].toUpperCase() + text.slice(1);
}

function checkPoints({ data, points }: Setting): Point[] {
  if (data !== "points") return [];
  if (!Array.isArray(points) || points.length < 1)
    throw new SettingError("Draw at least one point for the data, or choose other data.");
  if (points.length > MOST_POINTS)
    throw new SettingError(
      `Expected at most ${MOST_POINTS} points, got ${points.length}: leave some out.`,
    );
  return points.map((point) => {
    if (!Array.isArray(point) || point.length !== 2 || !point.every(Number.isFinite))
      throw new SettingError("Expected each point to be two finite coordinates.");
    return [snap(point[0]), snap(point[1])] as const;
  });
}

// --------------------------------------------------------------------------------------------- in an address

const VERSION = "gan1";

/** Whether the part of an address after # is a setting, of this version or another one, and not the name of a section. */
export function isSettingHash(hash: string): boolean {
  return /^#?gan\d+(&|$)/.test(hash);
}

/**
 * The setting for the part of an address after #, without the #: what differs from the defaults, by name.
 *
 *     gan1&data=grid&game=wasserstein&penalty=gradient_penalty&weight=10&nCritic=5
 *
 * A default of this version is therefore never changed: new ones need a new version.
 */
export function encodeSetting(setting: Setting): string {
  const checked = checkSetting(setting);
  const parts = [VERSION];
  for (const key of Object.keys(DEFAULTS) as (keyof Setting)[]) {
    if (key === "points") {
      if (checked.points.length)
        parts.push(`points=${checked.points.flat().map(packCoordinate).join("")}`);
    } else if (checked[key] !== DEFAULTS[key]) parts.push(`${key}=${checked[key]}`);
  }
  return parts.join("&");
}

/** The setting of an address, with or without its #. Throws SettingError, with a sentence, for what is none. */
export function decodeSetting(hash: string): Setting {
  const [version, ...parts] = hash.replace(/^#/, "").split("&");
  if (version !== VERSION)
    throw new SettingError(
      isSettingHash(hash)
        ? "This link is of another version of the laboratory; choose the setting by hand."
        : "This link holds no setting of the laboratory.",
    );
  const given: Record<string, unknown> = {};
  for (const part of parts) {
    const [key, value, ...rest] = part.split("=");
    if (value === undefined || rest.length || !Object.hasOwn(DEFAULTS, key))
      throw new SettingError(
        `This link has a part that the laboratory does not know, “${shorten(part)}”.`,
      );
    if (key in given) throw new SettingError(`This link names “${key}” twice.`);
    if (key === "points") given[key] = unpackPoints(value);
    else
      given[key] = Object.hasOwn(NUMBERS, key)
        ? toNumber(key as NumberKey, value)
        : decodeURIComponent(value);
  }
  return checkSetting(given as Partial<Setting>);
}

function shorten(text: string): string {
  return text.length > 40 ? `${text.slice(0, 40)}…` : text;
}

function toNumber(key: NumberKey, text: string): number {
  if (!/^-?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i.test(text))
    throw new SettingError(
      `${capital(NUMBERS[key].label)}: expected a number in this link, got “${shorten(text)}”.`,
    );
  return Number(text);
}

/** A coordinate in [-3, 3] as two digits of base 36: how many steps of 1/200 it lies above -3. */
function packCoordinate(coordinate: number): string {
  return Math.round((coordinate + REACH) * PER_UNIT)
    .toString(36)
    .padStart(2, "0");
}

function unpackPoints(text: string): Point[] {
  const packed = text.match(/^(?:[0-9a-z]{4})*$/) ? (text.match(/.{4}/g) ?? []) : null;
  const steps = packed?.map((four) =>
    [four.slice(0, 2), four.slice(2)].map((two) => parseInt(two, 36)),
  );
  if (!steps || steps.flat().some((step) => step > 2 * REACH * PER_UNIT))
    throw new SettingError("The points in this link are incomplete: was the end of it cut off?");
  return steps.map(([x, y]) => [snap(x / PER_UNIT - REACH), snap(y / PER_UNIT - REACH)]);
}
