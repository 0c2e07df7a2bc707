/**
 * A saga, declared once: named steps with what they send, what they await and how they are undone.
 *
 *     const Trip = Saga.make("trip", { version: 1, data: Data }).pipe(
 *       Saga.step("hold-seat", { send: HoldSeat, with: …, done: SeatHeld, undo: { send: DropSeat, with: …, done: SeatDropped }, … }),
 *       Saga.pivot("pay", { send: Pay, with: …, done: Paid, failed: [Saga.failedBy(Declined, () => "declined")], … }),
 *       Saga.retriable("issue-ticket", { send: Issue, with: …, done: Issued, … }),
 *     )
 *
 * - Up to the pivot steps are compensatable: each has an undo, or says why it needs none. After it they are retriable: they
 *   succeed at some time, or say what else (`otherwise`).
 * - What does not compile: a second pivot, `Saga.step` after it or `Saga.retriable` before it, a missing undo, a retriable
 *   step that may fail without `otherwise`, and a saga without a pivot wherever a definition is asked for.
 * - The rest is refused when it is declared, with what to do (`SagaRules`); so is all of that, for a program without types (`SagaDeclared`).
 *
 * A definition is data and pure functions. `SagaDecider` decides what happens next; nothing here sends anything.
 */
import { type Duration, Pipeable, type Schema } from "effect";
import type * as Message from "../Message.ts";
import * as RemoteStep from "./RemoteStep.ts";
import type { Definition, Draft, Failure, Phase, UnknownInstance } from "./SagaDefinition.ts";
import * as SagaDeclared from "./SagaDeclared.ts";
import * as SagaRules from "./SagaRules.ts";
import type { Kind, Step } from "./SagaStep.ts";
import * as SignalStep from "./SignalStep.ts";

export type { Definition, Draft, Failure, Phase, UnknownInstance } from "./SagaDefinition.ts";
export { check, explore } from "./check/SagaCheck.ts";
export {
  choreograph,
  type Choreography,
  type Distribution,
  orchestrate,
  type Orchestration,
  type Projection,
} from "./choreography/Choreography.ts";
export { mayTurn } from "./SagaRules.ts";
export { fingerprint, of as shapeOf, type Shape, type StepShape } from "./SagaShape.ts";
export { ATTEMPTS_MAX, failedBy } from "./RemoteStep.ts";
export type { FailedReply, Kind, LocalStep, Otherwise, Outcome, RemoteStep, SignalStep, Step, Undo } from "./SagaStep.ts";

export interface Options<D, E, C> {
  readonly version: number;
  /** What an instance remembers, as it is stored. */
  readonly data: Schema.Codec<D, E>;
  readonly startAfter?: Duration.Input;
  readonly deadline?: Duration.Input;
  readonly deadlineReason?: string;
  readonly undoRetry?: { readonly first: Duration.Input; readonly max: Duration.Input };
  /** Unless it is said: `ignore`. */
  readonly unknownInstance?: UnknownInstance;
  readonly onTurned?: (failure: Failure, data: NoInfer<D>) => C | null;
  readonly onUndone?: (failure: Failure, data: NoInfer<D>, pivoted: boolean) => C | null;
  readonly canceled?: (by: string) => string;
}

/** First and longest pause between two requests of an undo, in milliseconds, unless the saga says otherwise. */
export const UNDO_RETRY_MS = { first: 10_000, max: 60_000 };

export const make = <D, E, C = never>(name: string, options: Options<D, E, C>): Draft<D, C, "open"> => {
  expect(name, SagaDeclared.ofOptions(options));
  const draft = begun(name, options);
  expect(name, SagaRules.ofSaga(draft));
  return draft;
};

const expect = (saga: string, problem: string | null): void => {
  if (problem !== null) SagaRules.refuse(saga, problem);
};

const begun = <D, E, C>(name: string, options: Options<D, E, C>): Draft<D, C, "open"> => ({
  ...Pipeable.Prototype,
  name,
  version: options.version,
  phase: "open",
  data: options.data,
  steps: [],
  last: [],
  awaits: [],
  startAfterMillis: SagaRules.millisOf(options.startAfter ?? 0),
  deadlineMillis: options.deadline === undefined ? null : SagaRules.millisOf(options.deadline),
  deadlineReason: options.deadlineReason ?? "deadline",
  undoRetryMillis: {
    first: SagaRules.millisOf(options.undoRetry?.first ?? UNDO_RETRY_MS.first),
    max: SagaRules.millisOf(options.undoRetry?.max ?? UNDO_RETRY_MS.max),
  },
  unknownInstance: options.unknownInstance ?? "ignore",
  onTurned: options.onTurned ?? (() => null),
  onUndone: options.onUndone ?? (() => null),
  canceled: options.canceled ?? (() => "canceled"),
});

/** Adds to a saga: what `Saga.step` and its like return. */
export type Part<D, C, P extends Phase, Q extends Phase = P> = (draft: Draft<D, C, P>) => Draft<D, C, Q>;

/** A compensatable step: a command, its replies, and how it is undone, or why it need not be. */
export const step =
  <D, C, B, R, U = never, PB = never, SB = never>(
    name: string,
    options: RemoteStep.CompensatableOptions<NoInfer<D>, B, R, U, PB, SB>,
  ): Part<D, C, "open"> =>
  (draft) =>
    remote(draft, "open", name, "compensatable", options);

/**
 * The point of no return. Refused, the saga turns around; unknown, it is asked again until it is known. Its undo is for a
 * step after it that fails for good.
 */
export const pivot =
  <D, C, B, R, U = never, PB = never, SB = never>(
    name: string,
    options: RemoteStep.PivotOptions<NoInfer<D>, B, R, U, PB, SB>,
  ): Part<D, C, "open", "pivoted"> =>
  (draft) =>
    remote(draft, "pivoted", name, "pivot", options);

/** A step after the pivot: asked until it is done. One that may fail for good says what happens `otherwise`. */
export const retriable =
  <D, C, B, R, U = never, PB = never, SB = never>(
    name: string,
    options: RemoteStep.RetriableOptions<NoInfer<D>, B, R, U, PB, SB>,
  ): Part<D, C, "pivoted"> =>
  (draft) =>
    remote(draft, "pivoted", name, "retriable", options);

/** A command to the aggregate in the coordinator's transaction, answered at once. Refused, the saga turns around. */
export const local =
  <D, C, P extends Phase, const L extends C>(
    name: string,
    options: {
      readonly command: (data: NoInfer<D>) => L;
      readonly refused: string;
      readonly when?: (data: NoInfer<D>) => boolean;
    },
  ): Part<D, C, P> =>
  (draft) => {
    expect(draft.name, SagaDeclared.ofLocal(name, options));
    return add(draft, draft.phase, {
      _tag: "Local",
      name,
      kind: draft.phase === "open" ? "compensatable" : "retriable",
      after: draft.last,
      when: options.when ?? null,
      otherwise: "undo",
      awaits: [],
      local: options.command,
      refused: options.refused,
    });
  };

/**
 * Waits for a message from outside, which counts also when it comes before its turn. With a `timeout` it is a race: what
 * happens `otherwise` happens when the time is over first, or when one of `failed` comes. Without one, the saga's deadline ends it.
 */
export const signal =
  <D, C, P extends Phase, R>(name: string, options: SignalStep.Options<NoInfer<D>, R>): Part<D, C, P> =>
  (draft) => {
    expect(draft.name, SagaDeclared.ofSignal(name, options));
    return add(
      draft,
      draft.phase,
      SignalStep.make<D, R>(name, draft.phase === "open" ? "compensatable" : "retriable", draft.last, options),
    );
  };

/** Branches that run side by side; what comes next waits for all of them. A branch is a step, or several in a row. */
export const parallel =
  <D, C, P extends Phase>(branches: ReadonlyArray<Part<D, C, P> | ReadonlyArray<Part<D, C, P>>>): Part<D, C, P> =>
  (draft) => {
    expect(draft.name, SagaDeclared.ofBranches(branches));
    let joined = draft;
    const last: Array<string> = [];
    for (const branch of branches) {
      let grown = { ...joined, last: draft.last };
      for (const part of typeof branch === "function" ? [branch] : branch) grown = part(grown);
      last.push(...grown.last);
      joined = grown;
    }
    // Nothing to wait for but what was there.
    return branches.length === 0 ? draft : { ...joined, last: [...new Set(last)] };
  };

/** The last part: what the participants answer, in full. Refuses a reply that no step awaits. */
export const answers =
  <D, C, P extends Phase>(replies: ReadonlyArray<Message.AnyType>): Part<D, C, P> =>
  (draft) => {
    for (const { type } of replies) {
      if (draft.awaits.some((awaited) => awaited.type === type)) continue;
      SagaRules.refuse(draft.name, `no step awaits the reply "${type}": name it in a step's done, failed, undo or probe`);
    }
    return draft;
  };

const remote = <D, C, P extends Phase, Q extends Phase, B, R, U, PB, SB>(
  draft: Draft<D, C, P>,
  phase: Q,
  name: string,
  kind: Kind,
  options: RemoteStep.AnyOptions<D, B, R, U, PB, SB>,
): Draft<D, C, Q> => {
  expect(draft.name, SagaDeclared.ofRemote(name, kind, options));
  return add(draft, phase, RemoteStep.make<D, B, R, U, PB, SB>(name, kind, draft.last, options));
};

const add = <D, C, P extends Phase, Q extends Phase>(draft: Draft<D, C, P>, phase: Q, added: Step<D, C>): Draft<D, C, Q> => {
  const awaits = added.awaits.filter(({ type }) => !draft.awaits.some((known) => known.type === type));
  const steps = [...draft.steps, added];
  expect(draft.name, SagaRules.problem(steps, draft.deadlineMillis !== null));
  return { ...draft, phase, steps, last: [added.name], awaits: [...draft.awaits, ...awaits] };
};

/**
 * Longest time from the first request of `from` until `to` is done or given up, in milliseconds: what a hold must outlive. Throws
 * if one of them is no step, or `to` is declared before `from`.
 */
export const worstCaseMillis = <D, C>(definition: Definition<D, C>, from: string, to: string): number => {
  SagaRules.expectWhole(definition);
  const names = definition.steps.map(({ name }) => name);
  const [first, last] = [names.indexOf(from), names.indexOf(to)];
  for (const name of [from, to])
    if (!names.includes(name)) SagaRules.refuse(definition.name, `"${name}" is no step: name one of ${names.join(", ")}`);
  if (last < first) SagaRules.refuse(definition.name, `"${to}" is declared before "${from}": the order is ${names.join(", ")}`);
  let total = 0;
  for (const between of definition.steps.slice(first, last + 1)) total += worstOf(between);
  return total;
};

const worstOf = <D, C>(one: Step<D, C>): number => {
  switch (one._tag) {
    case "Local":
      return 0;
    case "Signal":
      return one.timeoutMillis ?? Number.POSITIVE_INFINITY;
    case "Remote": {
      const asked = one.timeoutMillis * one.attemptsMax;
      const rounds = (one.retry?.rounds ?? 1) + (one.retryOn?.rounds ?? 1) - 1;
      const pauses = (one.retry?.maxMillis ?? 0) * ((one.retry?.rounds ?? 1) - 1);
      return asked * rounds + pauses + (one.retryOn === null ? 0 : one.retryOn.timeoutMillis * (one.retryOn.rounds - 1));
    }
  }
};
