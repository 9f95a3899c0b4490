/** The book's objectives, as parts of a setting, and the settings of its chapters. */
import type { Setting } from "./setting.ts";

/** Each objective with all that it is: what it leaves out is switched off. */
export const OBJECTIVES = {
  minimax: { label: "Minimax", setting: { game: "minimax" } },
  nonsaturating: { label: "Non-saturating", setting: { game: "nonsaturating" } },
  least_squares: { label: "Least squares", setting: { game: "least_squares" } },
  hinge: { label: "Hinge", setting: { game: "hinge" } },
  wgan: {
    label: "Wasserstein, clipped",
    setting: { game: "wasserstein", clip: 0.05, nCritic: 5 },
  },
  wgan_gp: {
    label: "WGAN-GP",
    setting: { game: "wasserstein", penalty: "gradient_penalty", weight: 10, nCritic: 5 },
  },
  r1: { label: "R1", setting: { game: "nonsaturating", penalty: "r1", weight: 1 } },
  relativistic: {
    label: "Relativistic, R1 and R2",
    setting: { game: "relativistic", penalty: "r1_r2", weight: 1 },
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
