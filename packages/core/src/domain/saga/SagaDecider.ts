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
  /** How often do or undo was asked in this round; with the step's name it is the timer's token. */
  readonly attempts: number;
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
  | { readonly _tag: "Message"; readonly draft: Message.Draft }
  /** To the aggregate in this transaction. `step`: its answer comes back as `LocalReply`; null: told, not asked. */
  | { readonly _tag: "Local"; readonly step: string | null; readonly command: C }
  | { readonly _tag: "Schedule"; readonly name: string; readonly token: string; readonly at: Timestamp }
  | { readonly _tag: "Unschedule"; readonly name: string };

export type Transition<D, C> = readonly [next: Instance<D> | null, send: ReadonlyArray<Send<C>>];

/** The name of the timer that lets a saga rest in front of its first step. */
export const START_TIMER = "start";

export const transition = <D, C>(definition: Definition<D, C>, instance: Instance<D> | null, input: Input<D>): Transition<D, C> => {
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
            { step: current(definition, instance)?.name ?? START_TIMER, reason: definition.canceled(input.by) },
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

const withStep = <D>(instance: Instance<D>, step: string, change: Partial<StepState>): Instance<D> => ({
  ...instance,
  steps: { ...instance.steps, [step]: { ...stateOf(instance, step), ...change } },
});

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
  };
  if (definition.startAfterMillis === 0) return advance(definition, instance, input.now);
  return [instance, [{ _tag: "Schedule", name: START_TIMER, token: START_TIMER, at: input.now + definition.startAfterMillis }]];
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
  const sent = withStep(instance, step.name, { status: "sent", attempts });
  return [
    sent,
    [
      { _tag: "Message", draft: step.command(instance.data, keys(definition, instance, step.name)) },
      { _tag: "Schedule", name: step.name, token: token("do", attempts), at: now + step.timeoutMillis },
    ],
  ];
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
        return prepend([{ _tag: "Unschedule", name: step.name }], advance(definition, next, now));
      }
      const reason = step.failed(envelope);
      if (reason !== null) {
        const failed = withStep(instance, step.name, { status: "failed", attempts: 0 });
        return prepend([{ _tag: "Unschedule", name: step.name }], turn(definition, failed, { step: step.name, reason }, now));
      }
    }
    // An undo is confirmed only under its key: `released, expired` is told without one, and may have been on its way for long.
    if (status === "undoing" && step.undo !== null && envelope.stepKey !== null) {
      if (step.undo.isDone(envelope)) {
        const undone = withStep(instance, step.name, { status: "undone" });
        return prepend([{ _tag: "Unschedule", name: step.name }], undoNext(definition, undone, now));
      }
      if (step.undo.isRefused(envelope)) {
        const refused = withStep({ ...instance, status: "compensationFailed" }, step.name, { status: "undoRefused" });
        return [refused, [{ _tag: "Unschedule", name: step.name }]];
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
  if (input.name === START_TIMER) {
    const untouched = instance.status === "running" && Object.keys(instance.steps).length === 0;
    return untouched ? advance(definition, instance, input.now) : [instance, []];
  }
  const step = definition.steps.find((candidate) => candidate.name === input.name);
  if (step?._tag !== "Remote") return [instance, []];
  const state = stateOf(instance, step.name);
  if (state.status === "sent" && instance.status === "running" && input.token === token("do", state.attempts)) {
    const givesUp = step.kind === "compensatable" && state.attempts >= step.attemptsMax;
    return givesUp
      ? turn(definition, instance, { step: step.name, reason: step.timeoutReason }, input.now)
      : ask(definition, instance, step, input.now);
  }
  if (state.status === "undoing" && input.token === token("undo", state.attempts)) return askUndo(definition, instance, step, input.now);
  return [instance, []];
};

/** From running to compensating. */
const turn = <D, C>(definition: Definition<D, C>, instance: Instance<D>, failure: Failure, now: Timestamp): Transition<D, C> => {
  const told = isPivoted(definition, instance) ? definition.onTurned(failure, instance.data) : null;
  const turned: Instance<D> = { ...instance, status: "compensating", failure };
  const waiting = current(definition, turned);
  const first: Array<Send<C>> = [{ _tag: "Unschedule", name: waiting?.name ?? START_TIMER }];
  if (told !== null) first.push({ _tag: "Local", step: null, command: told });
  return prepend(first, undoNext(definition, turned, now));
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
  const failure = state.failure ?? { step: START_TIMER, reason: definition.canceled("operator") };
  const told = definition.onUndone(failure, state.data, isPivoted(definition, state));
  return [{ ...state, status: "compensated" }, told === null ? [] : [{ _tag: "Local", step: null, command: told }]];
};

const askUndo = <D, C>(definition: Definition<D, C>, instance: Instance<D>, step: RemoteStep<D>, now: Timestamp): Transition<D, C> => {
  if (step.undo === null) return [instance, []];
  const attempts = stateOf(instance, step.name).attempts + 1;
  const { first, max } = definition.undoRetryMillis;
  const pause = Math.min(max, first * 2 ** Math.min(attempts - 1, 20));
  return [
    withStep(instance, step.name, { status: "undoing", attempts }),
    [
      { _tag: "Message", draft: step.undo.command(instance.data, keys(definition, instance, step.name)) },
      { _tag: "Schedule", name: step.name, token: token("undo", attempts), at: now + pause },
    ],
  ];
};

const resume = <D, C>(definition: Definition<D, C>, instance: Instance<D>, now: Timestamp): Transition<D, C> =>
  undoNext(definition, { ...instance, status: "compensating" }, now);

const keys = <D, C>(definition: Definition<D, C>, instance: Instance<D>, step: string): Message.DraftOptions => ({
  stepKey: stepKey(instance, step),
  saga: `${definition.name}@${instance.version}`,
});

const token = (phase: "do" | "undo", attempts: number): string => `${phase}:${attempts}`;

const prepend = <D, C>(first: ReadonlyArray<Send<C>>, [next, send]: Transition<D, C>): Transition<D, C> => [next, [...first, ...send]];
