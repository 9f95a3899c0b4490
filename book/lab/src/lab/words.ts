/** What the laboratory says, in sentences. */
import { CHOICES, type Change, type Player, type Setting, type State } from "../engine/protocol.ts";

/** Three digits, with a true minus sign. */
export function number(value: number, digits = 3): string {
  const text = Number(value.toPrecision(digits)).toString();
  return text.replace("-", "−").replace(/e([+−-]?)(\d+)$/, " × 10^$1$2");
}

/** Two numbers with as many digits as it takes to tell them apart, four at most, and equally many decimals. */
function pair(before: number, after: number): [string, string] {
  const both = [before, after];
  const words = (digits: number) => both.map((one) => number(one, digits));
  const found = [3, 4].map(words).find(([from, to]) => from !== to) ?? words(3);
  const decimals = Math.max(...found.map((one) => /\.(\d+)$/.exec(one)?.[1].length ?? 0));
  const plain = found.every((one) => !one.includes("×"));
  const even = both.map((one) => one.toFixed(decimals).replace("-", "−"));
  return (plain && even[0] !== even[1] ? even : found) as [string, string];
}

/** "fell from 1.38 to 1.21" */
export function course(before: number, after: number): string {
  const [from, to] = pair(before, after);
  return from === to
    ? `stayed at ${to}`
    : `${after < before ? "fell" : "rose"} from ${from} to ${to}`;
}

/** Mean distance of points from where they were. */
export function meanMove(before: Float32Array, after: Float32Array): number {
  let sum = 0;
  for (let k = 0; k < before.length; k += 2)
    sum += Math.hypot(after[k] - before[k], after[k + 1] - before[k + 1]);
  return sum / (before.length / 2);
}

/** What one update did: who moved, what it was for its loss, and for the samples. */
export function changeWords({ player, before, after, fake, fakeAfter }: Change): string {
  const own = course(before[player], after[player]);
  if (player === "critic")
    return `The critic moved; on this batch its loss ${own}. The samples stay where they are.`;
  const rival = course(before.critic, after.critic);
  return (
    `The generator moved its samples by ${number(meanMove(fake, fakeAfter), 2)} on average; ` +
    `on this batch its loss ${own}, and the critic’s ${rival}.`
  );
}

/** The state in a sentence, for those who do not see the picture. */
export function summary(state: State): string {
  const { steps, modes, losses } = state;
  const parts = [`Step ${steps.toLocaleString("en")}.`];
  if (modes) parts.push(`${modesWords(modes.found, modes.of)}, quality ${percent(modes.quality)}.`);
  const [critic, generator] = [losses.critic.at(-1), losses.generator.at(-1)];
  if (critic !== undefined && generator !== undefined)
    parts.push(`Losses: critic ${number(critic)}, generator ${number(generator)}.`);
  return parts.join(" ");
}

export function modesWords(found: number, of: number): string {
  return `${found} of ${of} modes`;
}

export function percent(share: number): string {
  return `${Math.round(100 * share)} %`;
}

/** What each player is after, in the words of a beginner. */
export const AIMS: Record<Player, string> = {
  critic: "colours the plane: data high, samples low",
  generator: "moves its samples to where the score is higher",
};

/** The plane, for those who do not see it. */
export function planeWords(setting: Setting, state: State | null): string {
  const data = `Data: ${CHOICES.data[setting.data]}.`;
  return state ? `${data} ${summary(state)}` : `${data} Nothing has been trained yet.`;
}
