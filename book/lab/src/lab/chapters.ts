import type { Setting } from "../engine/setting.ts";
export const PRESETS: Record<string, { label: string; setting: Partial<Setting> }> = {
  title: {
    label: "WGAN-GP on the ring",
    setting: {
      game: "wasserstein",
      penalty: "gradient_penalty",
      weight: 1,
      nCritic: 5,
      beta1: 0,
      beta2: 0.9,
    },
  },
  ring: { label: "Chapter 2: balanced", setting: { lrCritic: 2e-3 } },
};
export function toPython(setting: Setting): string {
  return `import gan_tutorial as gt\n# ${JSON.stringify(setting)}`;
}
