/**
 * What the world knows of each call, a step in one round under its key: what became of it at its participant, and which
 * messages about it are on their way. All of it is one short text, a character a call.
 *
 * A message that was sent once stays on its way: it may arrive any number of times, at any time, before or after any other
 * one, or never. So there is no bound on copies, and delay and loss need no room of their own.
 */
import type { RemoteStep } from "../SagaStep.ts";
import type { AbstractSaga } from "./AbstractSaga.ts";
import { ANSWERS_FROM, type Effect, EFFECTS, type Kind, KINDS } from "./Participant.ts";

export interface Call {
  readonly step: RemoteStep<null>;
  readonly round: number;
  readonly index: number;
}

/** The only instance. */
export const ID = "i";

/** Of every step, in every round that it has. */
export const of = ({ steps }: AbstractSaga): ReadonlyArray<Call> => {
  const calls: Array<Call> = [];
  for (const step of steps) {
    if (step._tag !== "Remote") continue;
    const rounds = Math.max(1, step.retry?.rounds ?? 1, step.retryOn?.rounds ?? 1);
    for (let round = 1; round <= rounds; round += 1) calls.push({ step, round, index: calls.length });
  }
  return calls;
};

/** By their steps' names. */
export const bySteps = (calls: ReadonlyArray<Call>): ReadonlyMap<string, ReadonlyArray<Call>> =>
  Map.groupBy(calls, ({ step }) => step.name);

export const keyOf = ({ step, round }: Call): string => `${ID}:${step.name}:${round}`;

/** Bits of a character: the effect below, a bit for each kind of message above. */
const EFFECT_BITS = 3;
const EFFECT_MASK = (1 << EFFECT_BITS) - 1;
const bits = new Map(KINDS.map((kind, index) => [kind, 1 << (index + EFFECT_BITS)]));
const effects = new Map(EFFECTS.map((effect, index) => [effect, index]));

export type Calls = string;

export const none = (calls: ReadonlyArray<Call>): Calls => "\0".repeat(calls.length);

export const effectOf = (calls: Calls, index: number): Effect => EFFECTS[calls.charCodeAt(index) & EFFECT_MASK] ?? "none";

/** How many effects of a step, in its rounds, stand. */
export const standing = (calls: Calls, step: ReadonlyArray<Call>): number => {
  let count = 0;
  for (const { index } of step) if (isDone(effectOf(calls, index))) count += 1;
  return count;
};

const isDone = (effect: Effect): boolean => effect === "done" || effect === "twice";

/** The messages about a call that are on their way. */
export const inFlight = (calls: Calls, index: number): ReadonlyArray<Kind> => {
  const code = calls.charCodeAt(index) >> EFFECT_BITS;
  return FLIGHTS[code] ?? [];
};

const FLIGHTS: ReadonlyArray<ReadonlyArray<Kind>> = Array.from({ length: 1 << KINDS.length }, (_, code) =>
  KINDS.filter((_kind, index) => (code & (1 << index)) !== 0),
);

export const isAnswer = (kind: Kind): boolean => KINDS.indexOf(kind) >= ANSWERS_FROM;

export const send = (calls: Calls, index: number, kind: Kind): Calls => put(calls, index, calls.charCodeAt(index) | (bits.get(kind) ?? 0));

export const become = (calls: Calls, index: number, effect: Effect): Calls =>
  put(calls, index, (calls.charCodeAt(index) & ~EFFECT_MASK) | (effects.get(effect) ?? 0));

/** Everything on its way is lost. */
export const lost = (calls: Calls): Calls => {
  let text = "";
  for (let index = 0; index < calls.length; index += 1) text += String.fromCharCode(calls.charCodeAt(index) & EFFECT_MASK);
  return text;
};

const put = (calls: Calls, index: number, code: number): Calls =>
  code === calls.charCodeAt(index) ? calls : calls.slice(0, index) + String.fromCharCode(code) + calls.slice(index + 1);
