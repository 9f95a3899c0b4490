/** The settings of the book, by chapter, and the knobs that each chapter speaks of. */
import { type Preset, PRESETS } from "../engine/presets.ts";
import { decodeSetting, encodeSetting, type Setting } from "../engine/setting.ts";
import type { KnobName } from "./knobs.ts";

const KNOBS: Record<number, KnobName[]> = {
  1: ["game", "nCritic", "lrGenerator"],
  2: ["nCritic", "nGenerator", "lrCritic", "lrGenerator"],
  6: ["game", "clip", "lrCritic"],
  7: ["objective", "weight", "nCritic"],
  10: ["lrCritic", "lrGenerator", "seed"],
};

export function presetOf(name: string): Preset | null {
  return Object.hasOwn(PRESETS, name) ? PRESETS[name as keyof typeof PRESETS] : null;
}

/** A setting by the name of a preset, or as it stands in an address. Throws SettingError. */
export function settingOf(text: string): Setting {
  return presetOf(text)?.setting ?? decodeSetting(text);
}

let names: Map<string, string> | null = null;

/** The name of the preset that a setting is; "" where it is none. */
export function nameOf(setting: Setting): string {
  names ??= new Map(
    Object.entries(PRESETS).map(([name, preset]) => [encodeSetting(preset.setting), name]),
  );
  try {
    return names.get(encodeSetting(setting)) ?? "";
  } catch {
    return ""; // no points yet
  }
}

/** The presets of one chapter, or all of them: name and preset. */
export function presetsOf(chapter: number | null): [string, Preset][] {
  return Object.entries<Preset>(PRESETS).filter(
    ([, preset]) => chapter === null || preset.chapter === chapter,
  );
}

export function knobsOf(name: string): KnobName[] {
  return KNOBS[presetOf(name)?.chapter ?? 0] ?? ["objective", "lrCritic", "lrGenerator"];
}
