/** A still of a training: it runs when the scripts are bundled (bundle.mjs), and comes with the page. */
import { prepare } from "./gradients.ts";
import { type PresetName, PRESETS } from "./presets.ts";
import { type Modes, VIEW, type View } from "./protocol.ts";
import { Training } from "./training.ts";

/** What a picture shows of a state. Points lie in lists of x, y, x, y, … */
export interface Poster {
  preset: PresetName;
  steps: number;
  box: View["box"];
  field: number[];
  samples: number[];
  modes: Modes | null;
}

export async function posterOf(preset: PresetName, box: View["box"]): Promise<Poster> {
  await prepare();
  const { setting, steps } = PRESETS[preset];
  const training = new Training(setting);
  for (let k = 0; k < steps; k++) training.step();
  const state = training.look({ ...VIEW, box, field: 32, samples: 400, arrows: 0 });
  training.dispose();
  const short = (values: Float32Array) => Array.from(values, (x) => Number(x.toPrecision(3)));
  const { field, samples, modes } = state;
  return { preset, steps, box, field: short(field), samples: short(samples), modes };
}
