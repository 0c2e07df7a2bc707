/**
 * What a saga does next: `[next, send]`, never a call.
 *
 * ```
 * running ──all steps done──▶ completed
 *    │ failed, timed out, canceled before the pivot
 *    ▼
 * compensating ──all undone──▶ compensated
 *    │ an undo refused for good          ▲
 *    ▼                                   │ resume
 * compensationFailed ────────────────────┘
 * ```
 *
 * Invariants:
 * 1. Steps run in order, one at a time; a step is sent only after the one before it is done.
 * 2. A step that may have happened (sent, no answer) is undone like one that is done: its undo carries the same key, and
 *    leaves a tombstone if the step never arrived.
 * 3. The pivot is never given up while its outcome is unknown: it is asked again under the same key until it is known.
 * 4. Undos run in reverse order, one at a time, each asked again until it is answered.
 * 5. A reply or a timer that the state does not await changes nothing (late, duplicate, reordered).
 * 6. An instance has one timer. It is written when there is none, or when something is due earlier; so it may fire when
 *    nothing is due yet, and is then set to what is due next. Nothing that is due waits longer than its time.
 */
import type * as Message from "../Message.ts";
import type { Timestamp } from "../Timestamp.ts";
import type { Definition, Failure, RemoteStep, Step } from "./Saga.ts";

export type Status = "running" | "compensating" | "completed" | "compensated" | "compensationFailed";

export type StepStatus = "pending" | "sent" | "done" | "failed" | "undoing" | "undone" | "undoRefused";

export interface StepState {
  readonly status: StepStatus;
  /** Grows after a definite failure only. Part of the key: `<instance>:<step>:<round>`. */
  readonly round: number;
  /** How often do or undo was asked in this round. */
  readonly attempts: number;
  /** When it is asked again, or given up. Absent: nothing is awaited, or it was asked by 0.1.0. */
  readonly dueAt?: Timestamp;
}

export interface Instance<D> {
  readonly saga: string;
  readonly version: number;
  readonly id: string;
  readonly status: Status;
  readonly data: D;
  readonly steps: { readonly [name: string]: StepState };
  readonly failure: Failure | null;
  readonly startedAt: Timestamp;
  /** When the timer fires; null: there is none. */
  readonly wakeAt: Timestamp | null;
  /** How often the timer was written; its token. */
  readonly wakes: number;
}

export type Input<D> =
  | { readonly _tag: "Start"; readonly id: string; readonly data: D; readonly now: Timestamp }
  | { readonly _tag: "Reply"; readonly envelope: Message.Envelope; readonly now: Timestamp }
  | { readonly _tag: "LocalReply"; readonly step: string; readonly accepted: boolean; readonly now: Timestamp }
  | { readonly _tag: "Timer"; readonly name: string; readonly token: string; readonly now: Timestamp }
  | { readonly _tag: "Cancel"; readonly by: string; readonly now: Timestamp }
  /** An operator asks for what is left to be undone again. */
  | { readonly _tag: "Resume"; readonly now: Timestamp };

export type Send<C> =
  /** `answerBy`: when it is asked again, or given up. */
  | { readonly _tag: "Message"; readonly draft: Message.Draft; readonly answerBy: Timestamp }
  /** To the aggregate in this transaction. `step`: its answer comes back as `LocalReply`; null: told, not asked. */
  | { readonly _tag: "Local"; readonly step: string | null; readonly command: C }
  | { readonly _tag: "Schedule"; readonly name: string; readonly token: string; readonly at: Timestamp }
  | { readonly _tag: "Unschedule"; readonly name: string };

export type Transition<D, C> = readonly [next: Instance<D> | null, send: ReadonlyArray<Send<C>>];

/** The name of an instance's timer. */
export const WAKE_TIMER = "wake";

/** What stands in place of a step's name in the failure of a saga that rests in front of its first one. */
export const START = "start";

/**
 * A firing this long before the timer's time, in milliseconds, was moved by a person, and makes due what is due next. Less is
 * a clock that was set back (a failover): the time of the timer counts.
 */
export const MOVED_MS = 1_000;

export const transition = <D, C>(definition: Definition<D, C>, instance: Instance<D> | null, input: Input<D>): Transition<D, C> => {
  const [next, send] = move(definition, instance, input);
  if (next === null || next === instance) return [next, send];
  if (isAtRest(next)) {
    return next.wakeAt === null ? [next, send] : [{ ...next, wakeAt: null }, [...send, { _tag: "Unschedule", name: WAKE_TIMER }]];
  }
  const due = nextDueAt(definition, next);
  if (due === null || (next.wakeAt !== null && next.wakeAt <= due)) return [next, send];
  const woken = { ...next, wakeAt: due, wakes: next.wakes + 1 };
  return [woken, [...send, { _tag: "Schedule", name: WAKE_TIMER, token: wakeToken(woken), at: due }]];
};

const wakeToken = <D>(instance: Instance<D>): string => String(instance.wakes);

/** When something is due; null: nothing is awaited that has a time. */
const nextDueAt = <D, C>(definition: Definition<D, C>, instance: Instance<D>): Timestamp | null => {
  if (isUntouched(instance)) return instance.startedAt + definition.startAfterMillis;
  let earliest: Timestamp | null = null;
  for (const name in instance.steps) {
    const dueAt = instance.steps[name]?.dueAt;
    if (dueAt !== undefined && (earliest === null || dueAt < earliest)) earliest = dueAt;
  }
  return earliest;
};

const isUntouched = <D>(instance: Instance<D>): boolean => {
  for (const _ in instance.steps) return false;
  return instance.status === "running";
};

const move = <D, C>(definition: Definition<D, C>, instance: Instance<D> | null, input: Input<D>): Transition<D, C> => {
  if (input._tag === "Start") return instance === null ? start(definition, input) : [instance, []];
  if (instance === null) return [null, []];
  switch (input._tag) {
    case "Reply":
      return reply(definition, instance, input.envelope, input.now);
    case "LocalReply":
      return localReply(definition, instance, input);
    case "Timer":
      return timer(definition, instance, input);
    case "Cancel":
      return canCancel(definition, instance)
        ? turn(
            definition,
            instance,
            { step: current(definition, instance)?.name ?? START, reason: definition.canceled(input.by) },
            input.now,
          )
        : [instance, []];
    case "Resume":
      return instance.status === "compensationFailed" ? resume(definition, instance, input.now) : [instance, []];
  }
};

/** Before the pivot was asked for, a cancel can still undo everything. */
export const canCancel = <D, C>(definition: Definition<D, C>, instance: Instance<D>): boolean =>
  instance.status === "running" &&
  definition.steps.every((step) => step.kind === "compensatable" || stateOf(instance, step.name).status === "pending");

export const isAtRest = <D>(instance: Instance<D>): boolean =>
  instance.status === "completed" || instance.status === "compensated" || instance.status === "compensationFailed";

/** `<instance>:<step>:<round>`: the key under which a step is done at most once, and undone. */
export const stepKey = <D>(instance: Instance<D>, step: string): string => `${instance.id}:${step}:${stateOf(instance, step).round}`;

const PENDING: StepState = { status: "pending", round: 1, attempts: 0 };

const stateOf = <D>(instance: Instance<D>, step: string): StepState => instance.steps[step] ?? PENDING;

/** What is not named ends: the time that a step was due. */
const withStep = <D>(instance: Instance<D>, step: string, change: Partial<StepState>): Instance<D> => {
  const { status, round, attempts } = stateOf(instance, step);
  return { ...instance, steps: { ...instance.steps, [step]: { status, round, attempts, ...change } } };
};

const current = <D, C>(definition: Definition<D, C>, instance: Instance<D>): Step<D, C> | undefined =>
  definition.steps.find((step) => stateOf(instance, step.name).status !== "done");

const isPivoted = <D, C>(definition: Definition<D, C>, instance: Instance<D>): boolean =>
  definition.steps.some((step) => step.kind === "pivot" && !["pending", "sent", "failed"].includes(stateOf(instance, step.name).status));

const start = <D, C>(definition: Definition<D, C>, input: Extract<Input<D>, { _tag: "Start" }>): Transition<D, C> => {
  const instance: Instance<D> = {
    saga: definition.name,
    version: definition.version,
    id: input.id,
    status: "running",
    data: input.data,
    steps: {},
    failure: null,
    startedAt: input.now,
    wakeAt: null,
    wakes: 0,
  };
  return definition.startAfterMillis === 0 ? advance(definition, instance, input.now) : [instance, []];
};

/** Sends the next step, or completes. */
const advance = <D, C>(definition: Definition<D, C>, instance: Instance<D>, now: Timestamp): Transition<D, C> => {
  const step = current(definition, instance);
  if (step === undefined) return [{ ...instance, status: "completed" }, []];
  if (step._tag === "Local") {
    const sent = withStep(instance, step.name, { status: "sent" });
    return [sent, [{ _tag: "Local", step: step.name, command: step.local(instance.data) }]];
  }
  return ask(definition, instance, step, now);
};

const ask = <D, C>(definition: Definition<D, C>, instance: Instance<D>, step: RemoteStep<D>, now: Timestamp): Transition<D, C> => {
  const attempts = stateOf(instance, step.name).attempts + 1;
  const dueAt = now + step.timeoutMillis;
  const draft = step.command(instance.data, keys(definition, instance, step.name));
  return [withStep(instance, step.name, { status: "sent", attempts, dueAt }), [{ _tag: "Message", draft, answerBy: dueAt }]];
};

const reply = <D, C>(definition: Definition<D, C>, instance: Instance<D>, envelope: Message.Envelope, now: Timestamp): Transition<D, C> => {
  for (const step of definition.steps) {
    if (step._tag === "Local") continue;
    // A reply names the step it answers; what comes from outside (a webhook) has no key and is matched by its type.
    if (envelope.stepKey !== null && envelope.stepKey !== stepKey(instance, step.name)) continue;
    const status = stateOf(instance, step.name).status;
    if (status === "sent" && instance.status === "running") {
      const done = step.done(instance.data, envelope);
      if (done !== null) {
        const next = withStep({ ...instance, data: done.data }, step.name, { status: "done", attempts: 0 });
        return advance(definition, next, now);
      }
      const reason = step.failed(envelope);
      if (reason !== null) {
        const failed = withStep(instance, step.name, { status: "failed", attempts: 0 });
        return turn(definition, failed, { step: step.name, reason }, now);
      }
    }
    // An undo is confirmed only under its key: `released, expired` is told without one, and may have been on its way for long.
    if (status === "undoing" && step.undo !== null && envelope.stepKey !== null) {
      if (step.undo.isDone(envelope)) {
        const undone = withStep(instance, step.name, { status: "undone" });
        return undoNext(definition, undone, now);
      }
      if (step.undo.isRefused(envelope)) {
        const refused = withStep({ ...instance, status: "compensationFailed" }, step.name, { status: "undoRefused" });
        return [refused, []];
      }
    }
  }
  return [instance, []];
};

const localReply = <D, C>(
  definition: Definition<D, C>,
  instance: Instance<D>,
  input: Extract<Input<D>, { _tag: "LocalReply" }>,
): Transition<D, C> => {
  const step = definition.steps.find((candidate) => candidate.name === input.step);
  if (step?._tag !== "Local" || stateOf(instance, step.name).status !== "sent") return [instance, []];
  if (input.accepted) return advance(definition, withStep(instance, step.name, { status: "done" }), input.now);
  return turn(definition, withStep(instance, step.name, { status: "failed" }), { step: step.name, reason: step.refused }, input.now);
};

const timer = <D, C>(
  definition: Definition<D, C>,
  instance: Instance<D>,
  input: Extract<Input<D>, { _tag: "Timer" }>,
): Transition<D, C> => {
  if (input.name !== WAKE_TIMER) return recordedTimer(definition, instance, input);
  if (instance.wakeAt === null || input.token !== wakeToken(instance)) return [instance, []];
  const fired: Instance<D> = { ...instance, wakeAt: null };
  const next = nextDueAt(definition, fired);
  const isMoved = input.now < instance.wakeAt - MOVED_MS;
  if (next === null || (!isMoved && next > Math.max(input.now, instance.wakeAt))) return [fired, []];
  if (isUntouched(fired)) return advance(definition, fired, input.now);
  const step = definition.steps.find((candidate) => stateOf(fired, candidate.name).dueAt === next);
  return step?._tag === "Remote" ? overdue(definition, fired, step, input.now) : [fired, []];
};

/** A timer of 0.1.0, where each step had its own; it counts for what that version asked. */
const recordedTimer = <D, C>(
  definition: Definition<D, C>,
  instance: Instance<D>,
  { name, token, now }: Extract<Input<D>, { _tag: "Timer" }>,
): Transition<D, C> => {
  if (name === START) return isUntouched(instance) && instance.wakes === 0 ? advance(definition, instance, now) : [instance, []];
  const step = definition.steps.find((candidate) => candidate.name === name);
  if (step?._tag !== "Remote") return [instance, []];
  const { status, attempts, dueAt } = stateOf(instance, name);
  const isAwaited = status === "undoing" || (status === "sent" && instance.status === "running");
  const isCurrent = dueAt === undefined && token === `${status === "sent" ? "do" : "undo"}:${attempts}`;
  return isAwaited && isCurrent ? overdue(definition, instance, step, now) : [instance, []];
};

/** What was asked was not answered in its time. */
const overdue = <D, C>(definition: Definition<D, C>, instance: Instance<D>, step: RemoteStep<D>, now: Timestamp): Transition<D, C> => {
  const { status, attempts } = stateOf(instance, step.name);
  if (status === "undoing") return askUndo(definition, instance, step, now);
  const givesUp = step.kind === "compensatable" && attempts >= step.attemptsMax;
  return givesUp ? turn(definition, instance, { step: step.name, reason: step.timeoutReason }, now) : ask(definition, instance, step, now);
};

/** From running to compensating. */
const turn = <D, C>(definition: Definition<D, C>, instance: Instance<D>, failure: Failure, now: Timestamp): Transition<D, C> => {
  const told = isPivoted(definition, instance) ? definition.onTurned(failure, instance.data) : null;
  const turned: Instance<D> = { ...instance, status: "compensating", failure };
  const [next, send] = undoNext(definition, turned, now);
  return [next, told === null ? send : [{ _tag: "Local", step: null, command: told }, ...send]];
};

/** Undoes the last step that was or may have been done; all undone, it tells the aggregate. */
const undoNext = <D, C>(definition: Definition<D, C>, instance: Instance<D>, now: Timestamp): Transition<D, C> => {
  let state = instance;
  for (const step of definition.steps.toReversed()) {
    const { status } = stateOf(state, step.name);
    if (status === "pending" || status === "failed" || status === "undone") continue;
    if (step._tag === "Remote" && step.undo !== null) {
      return askUndo(definition, withStep(state, step.name, { status: "undoing", attempts: 0 }), step, now);
    }
    state = withStep(state, step.name, { status: "undone" });
  }
  const failure = state.failure ?? { step: START, reason: definition.canceled("operator") };
  const told = definition.onUndone(failure, state.data, isPivoted(definition, state));
  return [{ ...state, status: "compensated" }, told === null ? [] : [{ _tag: "Local", step: null, command: told }]];
};

const askUndo = <D, C>(definition: Definition<D, C>, instance: Instance<D>, step: RemoteStep<D>, now: Timestamp): Transition<D, C> => {
  if (step.undo === null) return [instance, []];
  const attempts = stateOf(instance, step.name).attempts + 1;
  const { first, max } = definition.undoRetryMillis;
  const pause = Math.min(max, first * 2 ** Math.min(attempts - 1, 20));
  const dueAt = now + pause;
  const draft = step.undo.command(instance.data, keys(definition, instance, step.name));
  return [withStep(instance, step.name, { status: "undoing", attempts, dueAt }), [{ _tag: "Message", draft, answerBy: dueAt }]];
};

const resume = <D, C>(definition: Definition<D, C>, instance: Instance<D>, now: Timestamp): Transition<D, C> =>
  undoNext(definition, { ...instance, status: "compensating" }, now);

const keys = <D, C>(definition: Definition<D, C>, instance: Instance<D>, step: string): Message.DraftOptions => ({
  stepKey: stepKey(instance, step),
  saga: `${definition.name}@${instance.version}`,
});
