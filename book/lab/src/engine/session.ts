/** Commands in, reports out: what the worker does, apart from being a worker. */
import { prepare } from "./gradients.ts";
import {
  type Change,
  checkNumber,
  checkSetting,
  type Command,
  type Report,
  type Setting,
  SettingError,
  VIEW,
  type View,
} from "./protocol.ts";
import { NonFiniteLoss, Training } from "./training.ts";

/** So long, in milliseconds, it learns before it listens again. */
const SLICE = 25;
/** Of the data, for the page's picture. */
const SHOWN = 1000;

type Run = { pace: number | "full"; by: "step" | "update"; until: number };

/** What lies outside: how reports are sent, how one waits (0: until messages have been heard), and the time in ms. */
export interface Outside {
  post(report: Report): void;
  wait(milliseconds: number): Promise<void>;
  now(): number;
}

export class Session {
  private training: Training | null = null;
  /** What a reset starts from: the setting of the training, with its present learning rates. */
  private setting: Setting | null = null;
  private view: View = VIEW;
  /** What runs; another object for every `run`, so that a loop knows that it is not the latest one. */
  private run: Run | null = null;
  private over = false;
  private speed = new Speed();
  private change: Change | null = null;
  private ready: Promise<void> | null = null;

  constructor(private readonly outside: Outside) {}

  /** Do what a command says. Never throws: what goes wrong is reported. */
  async handle(command: Command): Promise<void> {
    try {
      await (this.ready ??= prepare());
      this.obey(command);
    } catch (error) {
      this.trouble(error);
    }
  }

  private obey(command: Command): void {
    switch (command.kind) {
      case "start":
        if (command.view) this.view = checkView({ ...this.view, ...command.view });
        return this.start(command.setting);
      case "reset": {
        this.current();
        return this.start({ ...this.setting!, seed: command.seed ?? this.setting!.seed });
      }
      case "view":
        this.view = checkView({ ...this.view, ...command.view });
        return this.report();
      case "rates":
        return this.setRates(command.lrCritic, command.lrGenerator);
      case "pause":
        this.run = null;
        return this.report();
      case "step":
        this.run = null;
        this.usable().step();
        this.change = null;
        return this.report();
      case "update":
        this.run = null;
        this.change = this.usable().update(command.player);
        return this.report();
      case "run":
        return this.begin({
          pace: command.pace,
          by: command.by ?? "step",
          until: command.until ?? Infinity,
        });
      default:
        throw new Error(
          `The laboratory knows no command “${(command as { kind: unknown }).kind}”.`,
        );
    }
  }

  private current(): Training {
    if (!this.training) throw new Error("Nothing to train yet: send a setting first.");
    return this.training;
  }

  private usable(): Training {
    if (this.over) throw new Error("This training has failed: change the setting, or reset.");
    return this.current();
  }

  private start(given: Setting): void {
    const setting = checkSetting(given);
    this.run = null;
    this.training?.dispose();
    this.training = new Training(setting);
    this.setting = setting;
    [this.over, this.change, this.speed] = [false, null, new Speed()];
    const { values, modes } = this.training.data;
    this.outside.post({ kind: "data", data: { points: values.slice(0, 2 * SHOWN), modes } });
    this.report();
  }

  private setRates(critic: number, generator: number): void {
    checkNumber("lrCritic", critic);
    checkNumber("lrGenerator", generator);
    this.current().rates = { critic, generator };
    this.setting = { ...this.setting!, lrCritic: critic, lrGenerator: generator };
  }

  // ------------------------------------------------------------------------------------------------ running

  private begin(run: Run): void {
    if (run.pace !== "full" && !(run.pace > 0))
      throw new Error(`Expected a positive number of steps a second, or “full”, got ${run.pace}.`);
    if (!(run.until >= 0)) throw new Error(`Expected a step to run to, got ${run.until}.`);
    this.usable();
    this.run = run;
    this.speed = new Speed();
    this.change = null;
    void this.loop(run);
  }

  /** Learn at the pace of this run, until its last step or until another command ends it. */
  private async loop(run: Run): Promise<void> {
    let due = this.outside.now();
    let shown = -Infinity;
    try {
      while (this.run === run) {
        const start = this.outside.now();
        while (due <= start && this.outside.now() - start < SLICE && !this.arrived(run)) {
          this.advance(run);
          due = run.pace === "full" ? start : due + 1000 / run.pace;
        }
        if (this.arrived(run)) {
          this.run = null;
          return this.report();
        }
        const now = this.outside.now();
        due = Math.max(due, now - 1000); // a tab that slept does not catch up
        if (now - shown >= 1000 / this.view.frames) {
          this.report();
          shown = now;
        }
        await this.outside.wait(Math.max(0, Math.min(due - now, 100)));
      }
    } catch (error) {
      if (this.run === run) this.run = null;
      this.trouble(error);
    }
  }

  private arrived({ until }: Run): boolean {
    return this.usable().steps >= until;
  }

  private advance(run: Run): void {
    const training = this.usable();
    const before = training.steps;
    if (run.by === "update") this.change = training.update("next");
    else training.step();
    if (training.steps > before) this.speed.note(this.outside.now());
  }

  // ---------------------------------------------------------------------------------------------- reporting

  private report(): void {
    const state = {
      ...this.current().look(this.view),
      running: this.run !== null,
      stepsPerSecond: this.speed.perSecond,
      change: this.change,
    };
    this.outside.post({ kind: "state", state });
  }

  private trouble(error: unknown): void {
    const over = error instanceof NonFiniteLoss;
    if (over) [this.over, this.run] = [true, null];
    const message = error instanceof Error ? error.message : String(error);
    this.outside.post({ kind: "trouble", message, over });
    if (over) this.report();
  }
}

/** Steps a second, over the last second or so. */
class Speed {
  private times: number[] = [];

  note(now: number): void {
    this.times.push(now);
    while (this.times.length > 2 && now - this.times[0] > 1000) this.times.shift();
  }

  get perSecond(): number | null {
    const passed = this.times.at(-1)! - this.times[0];
    return passed > 0 ? (1000 * (this.times.length - 1)) / passed : null;
  }
}

const VIEW_LIMITS: Record<Exclude<keyof View, "box">, [number, number]> = {
  field: [0, 400],
  samples: [1, 10_000],
  arrows: [0, 10_000],
  frames: [0.1, 120],
};

function checkView(view: View): View {
  for (const [key, [least, most]] of Object.entries(VIEW_LIMITS) as [
    keyof typeof VIEW_LIMITS,
    [number, number],
  ][])
    if (!(view[key] >= least && view[key] <= most))
      throw new SettingError(`Expected view.${key} from ${least} to ${most}, got ${view[key]}.`);
  const [left, right, bottom, top] = view.box;
  if (!(left < right && bottom < top))
    throw new SettingError("Expected a box [left, right, bottom, top] in the view.");
  return view;
}
