/**
 * What a saga does next: `[next, send]`, never a call.
 *
 * ```
 * running ──all steps done──▶ completed
 *    │ failed for good, given up, canceled, deadline before the pivot
 *    ▼
 * compensating ──all undone──▶ compensated
 *    │ an undo refused for good          ▲
 *    ▼                                   │ resume, resolve
 * compensationFailed ────────────────────┘
 * ```
 *
 * Invariants:
 * 1. A step begins only after those that it comes after are done, skipped or passed over.
 * 2. A step that may have happened (sent, no answer) is undone like one that is done: its undo carries the same key, and
 *    leaves a tombstone if the step never arrived.
 * 3. The pivot is never given up while its outcome is unknown: it is asked for under the same key until it is known.
 * 4. A step's undo begins only after those of the steps that came after it, and is asked again until it is answered.
 * 5. A reply or a timer that the state does not await changes nothing (late, duplicate, reordered). A signal that comes
 *    before its turn is kept.
 * 6. An instance has one timer. It is written when there is none, or when something is due earlier; so it may fire when
 *    nothing is due yet, and is then set to what is due next. Nothing that is due waits longer than its time.
 * 7. A round ends with a definite failure only, so no key stands for two outcomes.
 */
import type * as Message from "../Message.ts";
import type { Timestamp } from "../Timestamp.ts";
import type { Definition } from "./SagaDefinition.ts";
import * as SagaForward from "./SagaForward.ts";
import {
  type AuditEntry,
  canCancel,
  type Input,
  type Instance,
  isAtRest,
  isUntouched,
  type Send,
  START,
  stateOf,
  stepKey,
  type Transition,
  withStep,
} from "./SagaState.ts";
import type { RemoteStep, SignalStep, Step } from "./SagaStep.ts";
import * as SagaUndo from "./SagaUndo.ts";

export { canCancel, isAtRest, START, stepKey } from "./SagaState.ts";
export type { AuditEntry, Input, Instance, Send, Status, StepState, StepStatus } from "./SagaState.ts";

/** The name of an instance's timer. */
export const WAKE_TIMER = "wake";

/**
 * A firing this long before the timer's time, in milliseconds, was moved by a person, and makes due what is due next. Less is
 * a clock that was set back (a failover): the time of the timer counts.
 */
export const MOVED_MS = 1_000;

/** Pure and total. The same instance: nothing changed, and nothing is sent. Null: there is none. */
export const transition = <D, C>(
  definition: Definition<D, C>,
  instance: Instance<D> | null,
  input: Input<D>,
): readonly [next: Instance<D> | null, send: ReadonlyArray<Send<C>>] => {
  if (instance === null) return input._tag === "Start" ? woken(definition, start(definition, input)) : [null, []];
  const moved = move(definition, instance, input);
  return moved[0] === instance ? moved : woken(definition, moved);
};

/** With its timer. */
export const woken = <D, C>(definition: Definition<D, C>, [next, send]: Transition<D, C>): Transition<D, C> => {
  if (isAtRest(next)) {
    return next.wakeAt === null ? [next, send] : [{ ...next, wakeAt: null }, [...send, { _tag: "Unschedule", name: WAKE_TIMER }]];
  }
  const due = nextDueAt(definition, next);
  if (due === null || (next.wakeAt !== null && next.wakeAt <= due)) return [next, send];
  const waking = { ...next, wakeAt: due, wakes: next.wakes + 1 };
  return [waking, [...send, { _tag: "Schedule", name: WAKE_TIMER, token: wakeToken(waking), at: due }]];
};

const wakeToken = <D>(instance: Instance<D>): string => String(instance.wakes);

/** When something is due; null: nothing is awaited that has a time. */
const nextDueAt = <D, C>(definition: Definition<D, C>, instance: Instance<D>): Timestamp | null => {
  let earliest = isUntouched(instance) ? instance.startedAt + definition.startAfterMillis : deadlineOf(definition, instance);
  for (const name in instance.steps) {
    const dueAt = instance.steps[name]?.dueAt;
    if (dueAt !== undefined && (earliest === null || dueAt < earliest)) earliest = dueAt;
  }
  return earliest;
};

const deadlineOf = <D, C>(definition: Definition<D, C>, instance: Instance<D>): Timestamp | null =>
  definition.deadlineMillis !== null && canCancel(definition, instance) ? instance.startedAt + definition.deadlineMillis : null;

const move = <D, C>(definition: Definition<D, C>, instance: Instance<D>, input: Input<D>): Transition<D, C> => {
  switch (input._tag) {
    case "Start":
      return [instance, []];
    case "Reply":
      return reply(definition, instance, input.envelope, input.now);
    case "LocalReply":
      return SagaForward.answered(definition, instance, input.step, input.accepted, input.now);
    case "Timer":
      return timer(definition, instance, input);
    case "Cancel":
      if (!canCancel(definition, instance)) return [instance, []];
      return SagaUndo.turn(definition, instance, { step: current(definition, instance), reason: definition.canceled(input.by) }, input.now);
    case "Resume": {
      if (instance.status !== "compensationFailed") return [instance, []];
      const { now: at, by = "operator", note = "" } = input;
      return SagaUndo.resume(definition, instance, { at, action: "resume", step: null, by, note });
    }
    case "Resolve": {
      const { now: at, step, by, note } = input;
      const entry: AuditEntry = { at, action: "resolve", step, by, note };
      return instance.status === "compensationFailed" ? SagaUndo.resolve(definition, instance, step, entry) : [instance, []];
    }
  }
};

/** The first step that is under way. */
const current = <D, C>({ steps }: Definition<D, C>, instance: Instance<D>): string =>
  steps.find(({ name }) => ["sent", "waiting"].includes(stateOf(instance, name).status))?.name ?? START;

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
  return definition.startAfterMillis === 0 ? SagaForward.advance(definition, instance, input.now) : [instance, []];
};

const reply = <D, C>(definition: Definition<D, C>, instance: Instance<D>, envelope: Message.Envelope, now: Timestamp): Transition<D, C> => {
  for (const step of definition.steps) {
    if (step._tag === "Local") continue;
    // A reply names the step it answers; what comes from outside (a webhook) has no key and is matched by its type.
    if (envelope.stepKey !== null && !isKeyOf(instance, step.name, envelope.stepKey)) continue;
    const next =
      step._tag === "Signal" ? signaled(definition, instance, step, envelope, now) : told(definition, instance, step, envelope, now);
    if (next !== null) return next;
  }
  return [instance, []];
};

/** Most steps are told apart by their state and name, without a text. */
const isKeyOf = <D>(instance: Instance<D>, step: string, key: string): boolean =>
  instance.steps[step] !== undefined && key.startsWith(step, instance.id.length + 1) && key === stepKey(instance, step);

/** Null: the message is not about this step, or not now. */
const signaled = <D, C>(
  definition: Definition<D, C>,
  instance: Instance<D>,
  step: SignalStep<D>,
  envelope: Message.Envelope,
  now: Timestamp,
): Transition<D, C> | null => {
  const state = stateOf(instance, step.name);
  const kept = instance.status === "running" && (state.status === "pending" || state.status === "sent") ? step.early.keep(envelope) : null;
  if (kept === null) return null;
  if (state.status === "pending") return [withStep(instance, step.name, { ...state, kept }), []];
  const outcome = step.early.use(instance.data, kept);
  return outcome === null ? null : SagaForward.settle(definition, instance, step, outcome, now);
};

const told = <D, C>(
  definition: Definition<D, C>,
  instance: Instance<D>,
  step: RemoteStep<D>,
  envelope: Message.Envelope,
  now: Timestamp,
): Transition<D, C> | null => {
  const state = stateOf(instance, step.name);
  if (state.status === "undoing") return undone(definition, instance, step, envelope, now);
  if (instance.status !== "running") return null;
  if (state.status === "sent") {
    const outcome = step.read(instance.data, envelope);
    if (outcome !== null) return SagaForward.settle(definition, instance, step, outcome, now);
  }
  const kept = step.retryOn?.early.keep(envelope) ?? null;
  if (step.retryOn === null || kept === null || (state.status !== "sent" && state.status !== "waiting")) return null;
  if (state.status === "sent" || state.waits?.for === "pause") return [withStep(instance, step.name, { ...state, kept }), []];
  const outcome = step.retryOn.early.use(instance.data, kept);
  return outcome?._tag === "Done" ? SagaForward.nextRound({ ...instance, data: outcome.data }, step, now) : null;
};

/** An undo is confirmed only under its key: `released, expired` is told without one, and may have been on its way for long. */
const undone = <D, C>(
  definition: Definition<D, C>,
  instance: Instance<D>,
  step: RemoteStep<D>,
  { type, stepKey: key }: Message.Envelope,
  now: Timestamp,
): Transition<D, C> | null => {
  if (step.undo === null || key === null) return null;
  if (type === step.undo.done.type) return SagaUndo.compensate(definition, withStep(instance, step.name, { status: "undone" }), now);
  if (type !== step.undo.refused?.type) return null;
  return SagaUndo.compensate(definition, withStep(instance, step.name, { status: "undoRefused" }), now);
};

type Firing = Extract<Input<unknown>, { _tag: "Timer" }>;

const timer = <D, C>(definition: Definition<D, C>, instance: Instance<D>, input: Firing): Transition<D, C> => {
  if (input.name !== WAKE_TIMER) return recordedTimer(definition, instance, input);
  const { wakeAt } = instance;
  if (wakeAt === null || input.token !== wakeToken(instance)) return [instance, []];
  const fired: Instance<D> = { ...instance, wakeAt: null };
  const next = nextDueAt(definition, fired);
  if (next === null) return [fired, []];
  const isMoved = input.now < wakeAt - MOVED_MS;
  const until = isMoved ? next : Math.max(input.now, wakeAt);
  if (next > until) return [fired, []];
  const deadline = deadlineOf(definition, fired);
  if (deadline !== null && deadline <= until) {
    return SagaUndo.turn(definition, fired, { step: current(definition, fired), reason: definition.deadlineReason }, input.now);
  }
  if (isUntouched(fired)) return SagaForward.advance(definition, fired, input.now);
  return overdueBy(definition, fired, until, input.now);
};

/** Everything that was due at `until`, each once. */
const overdueBy = <D, C>(definition: Definition<D, C>, instance: Instance<D>, until: Timestamp, now: Timestamp): Transition<D, C> => {
  let state = instance;
  const send: Array<Send<C>> = [];
  for (const step of definition.steps) {
    const { dueAt } = stateOf(instance, step.name);
    // What another one's turn has changed is not due any more.
    if (dueAt === undefined || dueAt > until || stateOf(state, step.name) !== stateOf(instance, step.name)) continue;
    const [next, sends] = overdue(definition, state, step, now);
    state = next;
    send.push(...sends);
  }
  return [state, send];
};

const overdue = <D, C>(definition: Definition<D, C>, instance: Instance<D>, step: Step<D, C>, now: Timestamp): Transition<D, C> => {
  if (instance.status === "running") return SagaForward.overdue(definition, instance, step, now);
  if (step._tag !== "Remote" || step.undo === null || stateOf(instance, step.name).status !== "undoing") return [instance, []];
  return SagaUndo.askUndo(definition, instance, step, step.undo, now);
};

/** A timer of 0.1.0, where each step had its own; it counts for what that version asked. */
const recordedTimer = <D, C>(definition: Definition<D, C>, instance: Instance<D>, { name, token, now }: Firing): Transition<D, C> => {
  if (name === START)
    return isUntouched(instance) && instance.wakes === 0 ? SagaForward.advance(definition, instance, now) : [instance, []];
  const step = definition.steps.find((candidate) => candidate.name === name);
  const { status, attempts, dueAt } = stateOf(instance, name);
  if (step?._tag !== "Remote" || dueAt !== undefined || isAtRest(instance)) return [instance, []];
  const isCurrent = status === (instance.status === "running" ? "sent" : "undoing");
  return isCurrent && token === `${status === "sent" ? "do" : "undo"}:${attempts}`
    ? overdue(definition, instance, step, now)
    : [instance, []];
};
