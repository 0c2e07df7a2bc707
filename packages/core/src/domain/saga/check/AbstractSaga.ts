/**
 * A definition without its data: what the checker explores in its place, with the real decider.
 *
 * - Names, kinds, order, message types, undos, probes and policies are the definition's own; replies are told apart by their
 *   type, as it does.
 * - None of its functions is called: bodies are empty, `when` holds and does not hold, the aggregate agrees and refuses.
 *   Conditions that exclude each other in truth are independent here: more happens than can.
 * - Times are signs: something is due, or it is not. What is due when, is left to the environment.
 * - Rounds are bounded.
 */
import { Pipeable, Schema } from "effect";
import type * as Message from "../../Message.ts";
import type { Definition } from "../SagaDefinition.ts";
import type { Early, Outcome, RemoteStep, SignalStep, Step } from "../SagaStep.ts";
import type * as Choices from "./Choices.ts";

/** It remembers nothing; a local command is its step's name. */
export type AbstractSaga = Definition<null, string>;
export type AbstractStep = Step<null, string>;

/** Every time of the definition that is not 0, in milliseconds. */
export const TICK_MS = 1;

/** The deadline, in ticks: a start that is due is not yet too late. */
export const DEADLINE_TICKS = 2;

/** Asked again, or given up: the last attempt, and one before it. */
export const ATTEMPTS_MAX = 2;

/** Reasons of failures that no step causes. */
export const CANCELED = "canceled";
export const DEADLINE = "deadline";

/** The body of a failure that may succeed in a new round. */
export const TRANSIENT = "transient";

/** What is asked of a participant, as the body of its command. */
export type Asks = "do" | "probe" | "undo";

export const of = <D, C>(definition: Definition<D, C>, choices: Choices.Choices, rounds: number): AbstractSaga => ({
  ...Pipeable.Prototype,
  name: definition.name,
  version: definition.version,
  phase: definition.phase,
  data: Schema.Null,
  steps: definition.steps.map((step) => stepOf(step, choices, rounds)),
  last: definition.last,
  awaits: definition.awaits,
  startAfterMillis: definition.startAfterMillis === 0 ? 0 : TICK_MS,
  deadlineMillis: definition.deadlineMillis === null ? null : DEADLINE_TICKS * TICK_MS,
  deadlineReason: DEADLINE,
  undoRetryMillis: { first: TICK_MS, max: TICK_MS },
  unknownInstance: definition.unknownInstance,
  onTurned: () => null,
  onUndone: () => null,
  canceled: () => CANCELED,
});

const stepOf = <D, C>(step: Step<D, C>, choices: Choices.Choices, rounds: number): AbstractStep => {
  const { name, kind, after, otherwise, awaits } = step;
  const ways = [`"${name}" is wanted`, `"${name}" is not wanted`];
  const common = { name, kind, after, otherwise, awaits, when: step.when === null ? null : () => choices.choose(ways) === 0 };
  switch (step._tag) {
    case "Local":
      return { ...common, _tag: "Local", local: () => name, refused: "refused" };
    case "Signal":
      return { ...common, _tag: "Signal", ...signalOf(step) };
    case "Remote":
      return { ...common, _tag: "Remote", ...remoteOf(step, rounds) };
  }
};

/** What a step has beside what all have. */
type Own<S> = Omit<S, "name" | "kind" | "after" | "when" | "otherwise" | "awaits" | "_tag">;

const signalOf = <D>({ done, failures, timeoutMillis }: SignalStep<D>): Own<SignalStep<null>> => ({
  done,
  failures,
  early: earlyOf(done, failures),
  timeoutMillis: timeoutMillis === null ? null : TICK_MS,
  timeoutReason: "timeout",
});

const remoteOf = <D>(step: RemoteStep<D>, rounds: number): Own<RemoteStep<null>> => {
  const { sends, done, failures, undo, noUndo, probe, retry, retryOn } = step;
  return {
    sends,
    done,
    failures,
    noUndo,
    command: asking(sends, "do"),
    reply: earlyOf(done, []),
    read: (_, envelope) => read(done, failures, probe?.unseen ?? null, envelope),
    undo: undo === null ? null : { sends: undo.sends, command: asking(undo.sends, "undo"), done: undo.done, refused: undo.refused },
    probe: probe === null ? null : { sends: probe.sends, command: asking(probe.sends, "probe"), unseen: probe.unseen },
    timeoutMillis: TICK_MS,
    attemptsMax: Math.min(step.attemptsMax, ATTEMPTS_MAX),
    timeoutReason: "timeout",
    retry: retry === null ? null : { rounds: Math.min(retry.rounds, rounds), firstMillis: TICK_MS, maxMillis: TICK_MS, jitter: 0 },
    retryOn:
      retryOn === null
        ? null
        : {
            signal: retryOn.signal,
            early: earlyOf(retryOn.signal, []),
            timeoutMillis: TICK_MS,
            rounds: Math.min(retryOn.rounds, rounds),
          },
  };
};

const asking =
  ({ type, topic }: Message.AnyType, json: Asks) =>
  (_: null, { stepKey, saga }: Message.DraftOptions): Message.Draft => ({
    type,
    topic,
    key: "",
    stepKey: stepKey ?? null,
    saga: saga ?? null,
    json,
  });

const read = (
  done: Message.AnyType,
  failures: ReadonlyArray<Message.AnyType>,
  unseen: Message.AnyType | null,
  { type, body }: Message.Envelope,
): Outcome<null> | null => {
  if (type === done.type) return { _tag: "Done", data: null };
  if (failures.some((failure) => failure.type === type)) return { _tag: "Failed", reason: "refused", isTransient: body === TRANSIENT };
  return type === unseen?.type ? { _tag: "Unknown" } : null;
};

const earlyOf = (done: Message.AnyType, failures: ReadonlyArray<Message.AnyType>): Early<null> => ({
  keep: (envelope) => {
    const outcome = read(done, failures, null, envelope);
    return outcome?._tag === "Done" ? { _tag: "Done", json: null } : outcome?._tag === "Failed" ? outcome : null;
  },
  use: (_, kept) => (kept._tag === "Failed" ? kept : { _tag: "Done", data: null }),
});
