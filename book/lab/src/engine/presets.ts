/** The book's objectives, as parts of a setting, and the settings of its chapters. */
import { checkSetting, type Setting } from "./setting.ts";

/** Each objective with all that it is: what it leaves out is switched off. */
export const OBJECTIVES = {
  minimax: { label: "Minimax", setting: { game: "minimax" } },
  nonsaturating: { label: "Non-saturating", setting: { game: "nonsaturating" } },
  least_squares: { label: "Least squares", setting: { game: "least_squares" } },
  hinge: { label: "Hinge", setting: { game: "hinge" } },
  wgan: {
    label: "Wasserstein, clipped",
    setting: { game: "wasserstein", clip: 0.1, nCritic: 5 },
  },
  wgan_gp: {
    label: "WGAN-GP",
    setting: { game: "wasserstein", penalty: "gradient_penalty", weight: 1, nCritic: 5 },
  },
  r1: { label: "R1", setting: { game: "nonsaturating", penalty: "r1", weight: 0.1 } },
  relativistic: {
    label: "Relativistic, R1 and R2",
    setting: { game: "relativistic", penalty: "r1_r2", weight: 0.1 },
  },
} as const satisfies Record<string, { label: string; setting: Partial<Setting> }>;

export type ObjectiveName = keyof typeof OBJECTIVES;

/** The setting with another objective: its losses, penalty, clipping and updates a step; all else stays. */
export function withObjective(setting: Setting, name: ObjectiveName): Setting {
  const off = { penalty: "none", weight: 1, clip: 0, nCritic: 1, nGenerator: 1 } as const;
  return { ...setting, ...off, ...OBJECTIVES[name].setting };
}

/** The objective whose losses, penalty and clipping a setting has, at whatever strength; null for a mixture of one's own. */
export function objectiveOf(setting: Setting): ObjectiveName | null {
  const same = (part: Partial<Setting>) =>
    setting.game === part.game &&
    setting.penalty === (part.penalty ?? "none") &&
    setting.clip > 0 === (part.clip ?? 0) > 0;
  const names = Object.keys(OBJECTIVES) as ObjectiveName[];
  return names.find((name) => same(OBJECTIVES[name].setting)) ?? null;
}

/** A setting of a chapter. */
export interface Preset {
  /** The chapter that has it. */
  chapter: number;
  title: string;
  /** What to look at. */
  says: string;
  /** After so many steps it can be seen. */
  steps: number;
  setting: Setting;
}

const FAR = {
  shift: 3,
  nCritic: 10,
  lrCritic: 4e-3,
  optimizerGenerator: "sgd",
  lrGenerator: 5e-3,
} as const satisfies Partial<Setting>;

const CHAPTER_2 = { width: 128, lrCritic: 1e-3 } as const satisfies Partial<Setting>;

const CHAPTER_6 = {
  shift: 3,
  nCritic: 5,
  optimizerCritic: "rmsprop",
  optimizerGenerator: "rmsprop",
  lrCritic: 1e-3,
} as const satisfies Partial<Setting>;

const CHAPTER_7 = {
  game: "wasserstein",
  nCritic: 5,
  lrCritic: 1e-3,
  beta1: 0,
  beta2: 0.9,
} as const satisfies Partial<Setting>;

const CHAPTER_10 = { batch: 64 } as const satisfies Partial<Setting>;

/** By a name for links and directives. The numbers are those of the chapters' cells. */
export const PRESETS = {
  saturated: {
    chapter: 1,
    title: "Minimax against a strong critic",
    says: "The critic is soon sure, the arrows vanish, and the samples stay where they are.",
    steps: 100,
    setting: checkSetting({ ...FAR, game: "minimax" }),
  },
  unsaturated: {
    chapter: 1,
    title: "The same critic, the non-saturating loss",
    says: "The arrows stay long where the critic is sure, and the samples arrive.",
    steps: 100,
    setting: checkSetting({ ...FAR, game: "nonsaturating" }),
  },
  balanced: {
    chapter: 2,
    title: "A balanced game",
    says: "Two updates of the critic for each of the generator: the samples find the ring.",
    steps: 800,
    setting: checkSetting({ ...CHAPTER_2, nCritic: 2 }),
  },
  ahead: {
    chapter: 2,
    title: "The generator ahead",
    says: "Ten updates of the generator for each of the critic: the samples run about in one spot.",
    steps: 200,
    setting: checkSetting({ ...CHAPTER_2, nGenerator: 10 }),
  },
  clipped: {
    chapter: 6,
    title: "Wasserstein, clipped",
    says: "The critic's loss falls in size as the samples come nearer.",
    steps: 1000,
    setting: checkSetting({ ...CHAPTER_6, game: "wasserstein", clip: 0.05 }),
  },
  unclipped: {
    chapter: 6,
    title: "Wasserstein, not clipped",
    says: "Nothing bounds the critic: its scores grow and grow, and its loss says nothing of the distance.",
    steps: 1000,
    setting: checkSetting({ ...CHAPTER_6, game: "wasserstein" }),
  },
  logistic: {
    chapter: 6,
    title: "Logistic, not clipped",
    says: "The same game by the logistic loss.",
    steps: 1000,
    setting: checkSetting({ ...CHAPTER_6, game: "nonsaturating" }),
  },
  logistic_clipped: {
    chapter: 6,
    title: "Logistic, clipped",
    says: "A clipped critic can hardly tell: its loss stays near ln 4, and the samples learn all the same.",
    steps: 1000,
    setting: checkSetting({ ...CHAPTER_6, game: "nonsaturating", clip: 0.05 }),
  },
  penalised: {
    chapter: 7,
    title: "WGAN-GP",
    says: "All eight modes within a hundred steps or so.",
    steps: 200,
    setting: checkSetting({ ...CHAPTER_7, penalty: "gradient_penalty", weight: 1 }),
  },
  tight: {
    chapter: 7,
    title: "The same game, clipped",
    says: "The level lines of a clipped critic are coarse, and fewer samples are near a mode.",
    steps: 200,
    setting: checkSetting({ ...CHAPTER_7, clip: 0.1 }),
  },
  healthy: {
    chapter: 10,
    title: "A quick critic",
    says: "The critic learns four times as fast as the generator, and all modes are found.",
    steps: 400,
    setting: checkSetting({ ...CHAPTER_10 }),
  },
  collapse: {
    chapter: 10,
    title: "A slow critic: mode collapse",
    says: "The losses look perfect, ln 4 and ln 2, and all samples are in one spot, which wanders.",
    steps: 400,
    setting: checkSetting({ ...CHAPTER_10, lrCritic: 2e-4 }),
  },
  explosion: {
    chapter: 10,
    title: "A critic without a bound",
    says: "Nothing bounds the critic: its loss swings by hundreds.",
    steps: 400,
    setting: checkSetting({ ...CHAPTER_10, game: "wasserstein", lrGenerator: 1e-4 }),
  },
  brake: {
    chapter: 10,
    title: "The same critic with R1 and R2",
    says: "The slope of the critic has an end.",
    steps: 400,
    setting: checkSetting({
      ...CHAPTER_10,
      game: "wasserstein",
      lrGenerator: 1e-4,
      penalty: "r1_r2",
      weight: 1,
    }),
  },
} as const satisfies Record<string, Preset>;

export type PresetName = keyof typeof PRESETS;
