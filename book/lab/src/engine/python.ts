/** The same training in the package, as a program to copy. */
import { checkSetting, type Optimizer, type Setting } from "./setting.ts";

/** Its random numbers are other ones, but drawn by the same rules: it is another seed of the same training. */
const TITLE =
  "# The laboratory's training in the book's package: the same rules, other random numbers.";
const IMPORTS = {
  replace: "from dataclasses import replace",
  partial: "from functools import partial",
};

/** A program in Python that trains this setting for so many steps, in the package's public names. */
export function toPython(given: Setting, steps = 1000): string {
  const setting = checkSetting(given);
  const { latent, width, depth, batch, seed } = setting;
  const body = [
    data(setting),
    `torch.manual_seed(${seed})  # of the first weights`,
    `G = gt.MLPGenerator(${latent}, (2,), width=${width}, depth=${depth})`,
    `C = gt.MLPCritic((2,), width=${width}, depth=${depth})`,
    objective(setting),
    "players = gt.adversaries(",
    "    G,",
    "    C,",
    "    objective,",
    `    ${optimizer(setting.optimizerGenerator, setting.lrGenerator, setting)},`,
    `    critic_optimizer=${optimizer(setting.optimizerCritic, setting.lrCritic, setting)},`,
    ")",
    ...(setting.nGenerator > 1 ? [`players[1].updates = ${setting.nGenerator}`] : []),
    `feed = gt.Feed(data, latent_dim=${latent}, batch_size=${batch}, seed=${seed})`,
    `ema = gt.EMA(G, half_life=${real(setting.halfLife)}, batch_size=${batch})`,
    `log = gt.fit(players, feed, steps=${steps}, hooks=[ema])`,
    "",
    "z = feed.noise(1000)",
    "samples, averaged = gt.sample(G, z), gt.sample(ema.net, z)",
    ...(setting.data === "ring" || setting.data === "grid"
      ? ['print("modes found:", gt.metrics.modes(samples, data).found)']
      : []),
    "gt.plots.points(data, samples)",
  ].join("\n");
  const needed = Object.entries(IMPORTS).filter(([name]) => body.includes(`${name}(`));
  const own = ["import gan_tutorial as gt", "import torch"];
  return [TITLE, ...needed.map(([, line]) => line), "", ...own, "", body, ""].join("\n");
}

/** A number as Python writes a float. */
function real(value: number): string {
  const text = String(value);
  return /^-?\d+$/.test(text) ? `${text}.0` : text;
}

function data(setting: Setting): string {
  const { sigma, size, shift, seed } = setting;
  const moved = shift ? ` + torch.tensor([${real(shift)}, 0.0])` : "";
  switch (setting.data) {
    case "ring":
    case "grid": {
      const scale = setting.data === "ring" ? `radius=${real(size)}` : `spacing=${real(size / 2)}`;
      const made = `data = gt.data.${setting.data}(${scale}, sigma=${real(sigma)}, seed=${seed})`;
      return moved
        ? `${made}\ndata = replace(data, values=data.values${moved}, modes=data.modes${moved})`
        : made;
    }
    case "roll": {
      const made = `data = gt.data.swiss_roll(sigma=${real(sigma / size)}, seed=${seed})`;
      const scaled = size === 1 ? "data.values" : `${real(size)} * data.values`;
      return moved || size !== 1 ? `${made}\ndata = replace(data, values=${scaled}${moved})` : made;
    }
    case "points":
      return [
        "points = torch.tensor([",
        ...setting.points.map(([x, y]) => `    [${real(x)}, ${real(y)}],`),
        "])",
        `random = torch.Generator().manual_seed(${seed})`,
        "some = points[torch.randint(len(points), (10_000,), generator=random)]",
        `noise = ${real(sigma)} * torch.randn(10_000, 2, generator=random)`,
        'data = gt.Data("points", some + noise)',
      ].join("\n");
  }
}

function objective({ game, penalty, weight, clip, nCritic }: Setting): string {
  const weighted = (name: string) => `partial(gt.${name}, weight=${real(weight)})`;
  const lines = [
    "objective = replace(",
    `    gt.${game},`,
    ...(penalty === "r1_r2"
      ? [`    penalty={"r1": ${weighted("r1")}, "r2": ${weighted("r2")}},`]
      : penalty === "none"
        ? []
        : [`    penalty=${weighted(penalty)},`]),
    ...(clip ? [`    constraint=gt.weight_clipping(${real(clip)}),`] : []),
    `    n_critic=${nCritic},`,
    ")",
  ];
  return lines.join("\n");
}

function optimizer(kind: Optimizer, lr: number, { beta1, beta2 }: Setting): string {
  if (kind === "adam") return `gt.adam(${real(lr)}, (${real(beta1)}, ${real(beta2)}))`;
  return `partial(torch.optim.${kind === "sgd" ? "SGD" : "RMSprop"}, lr=${real(lr)})`;
}
