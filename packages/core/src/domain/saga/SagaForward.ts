/** Going forward: which steps begin, what an outcome means for its step, and when a step is asked again. */
import { fnv1a } from "../Shard.ts";
import type { Timestamp } from "../Timestamp.ts";
import type { Definition } from "./SagaDefinition.ts";
import { type Instance, keysOf, type Send, stateOf, stepKey, type Transition, withStep } from "./SagaState.ts";
import type { Failed, Outcome, RemoteStep, Retry, SignalStep, Step } from "./SagaStep.ts";
import { pauseMillis, turn } from "./SagaUndo.ts";

/** Begins every step whose turn has come, or completes. */
export const advance = <D, C>(definition: Definition<D, C>, instance: Instance<D>, now: Timestamp): Transition<D, C> => {
  let state = instance;
  const send: Array<Send<C>> = [];
  let isOver = true;
  for (const step of definition.steps) {
    if (stateOf(state, step.name).status === "pending" && step.after.every((name) => isBehind(state, name))) {
      const [next, sends] = begin(definition, state, step, now);
      send.push(...sends);
      if (next.status !== "running") return [next, send];
      state = next;
    }
    isOver &&= isBehind(state, step.name);
  }
  return [isOver ? { ...state, status: "completed" } : state, send];
};

/** A failed step of a running saga is one that it goes on without. */
const isBehind = <D>(instance: Instance<D>, step: string): boolean => {
  const { status } = stateOf(instance, step);
  return status === "done" || status === "skipped" || status === "failed";
};

const begin = <D, C>(definition: Definition<D, C>, instance: Instance<D>, step: Step<D, C>, now: Timestamp): Transition<D, C> => {
  if (step.when !== null && !step.when(instance.data)) return [withStep(instance, step.name, { status: "skipped" }), []];
  switch (step._tag) {
    case "Local":
      return [withStep(instance, step.name, { status: "sent" }), [{ _tag: "Local", step: step.name, command: step.local(instance.data) }]];
    case "Remote":
      return ask(instance, step, now);
    case "Signal":
      return listen(definition, instance, step, now);
  }
};

/** Asks under the step's key. */
export const ask = <D>(instance: Instance<D>, step: RemoteStep<D>, now: Timestamp): Transition<D, never> =>
  askBy(instance, step, step, now);

/** Asks what became of a call that was not answered, if that can be asked; else for the call again, under its key. */
const probe = <D>(instance: Instance<D>, step: RemoteStep<D>, now: Timestamp): Transition<D, never> =>
  askBy(instance, step, step.probe ?? step, now);

const askBy = <D>(
  instance: Instance<D>,
  step: RemoteStep<D>,
  { command }: Pick<RemoteStep<D>, "command">,
  now: Timestamp,
): Transition<D, never> => {
  const attempts = stateOf(instance, step.name).attempts + 1;
  const dueAt = now + step.timeoutMillis;
  const draft = command(instance.data, keysOf(instance, step.name));
  return [withStep(instance, step.name, { status: "sent", attempts, dueAt }), [{ _tag: "Message", draft, answerBy: dueAt }]];
};

const listen = <D, C>(definition: Definition<D, C>, instance: Instance<D>, step: SignalStep<D>, now: Timestamp): Transition<D, C> => {
  const { kept } = stateOf(instance, step.name);
  const outcome = kept === undefined ? null : step.early.use(instance.data, kept);
  if (outcome?._tag === "Done") return [doneWith(instance, step.name, outcome.data), []];
  if (outcome?._tag === "Failed") return fails(definition, instance, step, outcome.reason, now);
  const times = step.timeoutMillis === null ? {} : { dueAt: now + step.timeoutMillis };
  return [withStep(instance, step.name, { status: "sent", ...times }), []];
};

const doneWith = <D>(instance: Instance<D>, step: string, data: D): Instance<D> =>
  withStep(data === instance.data ? instance : { ...instance, data }, step, { status: "done" });

/** What an outcome means for its step, which is under way. */
export const settle = <D, C>(
  definition: Definition<D, C>,
  instance: Instance<D>,
  step: Step<D, C>,
  outcome: Outcome<D>,
  now: Timestamp,
): Transition<D, C> => {
  switch (outcome._tag) {
    case "Done":
      return advance(definition, doneWith(instance, step.name, outcome.data), now);
    case "Failed":
      return step._tag === "Remote"
        ? failed(definition, instance, step, outcome, now)
        : on(definition, instance, step, outcome.reason, now);
    case "Unknown":
      return step._tag === "Remote" ? ask(instance, step, now) : [instance, []];
  }
};

/** A new round after a pause or a signal, while there are rounds left; otherwise it has failed for good. */
const failed = <D, C>(
  definition: Definition<D, C>,
  instance: Instance<D>,
  step: RemoteStep<D>,
  outcome: Failed,
  now: Timestamp,
): Transition<D, C> => {
  const { reason, isTransient } = outcome;
  const { round, kept } = stateOf(instance, step.name);
  const { retry, retryOn } = step;
  if (isTransient && retry !== null && round < retry.rounds) {
    const dueAt = now + pauseOf(retry, round, stepKey(instance, step.name));
    return [withStep(instance, step.name, { status: "waiting", dueAt, waits: { for: "pause", reason } }), []];
  }
  if (retryOn === null || round >= retryOn.rounds) return on(definition, instance, step, reason, now);
  const early = kept === undefined ? null : retryOn.early.use(instance.data, kept);
  if (early?._tag === "Done") return nextRound({ ...instance, data: early.data }, step, now);
  const dueAt = now + retryOn.timeoutMillis;
  return [withStep(instance, step.name, { status: "waiting", dueAt, waits: { for: "signal", reason } }), []];
};

/** Spread by the key, so that it is the same each time it is computed and another one for each instance. */
const pauseOf = ({ firstMillis, maxMillis, jitter }: Retry, round: number, key: string): number =>
  Math.ceil(pauseMillis(firstMillis, maxMillis, round) * (1 - (jitter * fnv1a(key)) / 2 ** 32));

/** Asks in a new round, under a new key. */
export const nextRound = <D>(instance: Instance<D>, step: RemoteStep<D>, now: Timestamp): Transition<D, never> => {
  const { kept: _, ...state } = stateOf(instance, step.name);
  const steps = { ...instance.steps, [step.name]: { ...state, round: state.round + 1, attempts: 0 } };
  return ask({ ...instance, steps }, step, now);
};

/** Failed for good: the saga turns around, or goes on without the step. */
const on = <D, C>(
  definition: Definition<D, C>,
  instance: Instance<D>,
  step: Step<D, C>,
  reason: string,
  now: Timestamp,
): Transition<D, C> => {
  const [next, send] = fails(definition, instance, step, reason, now);
  return next.status === "running" ? advance(definition, next, now) : [next, send];
};

const fails = <D, C>(
  definition: Definition<D, C>,
  instance: Instance<D>,
  step: Step<D, C>,
  reason: string,
  now: Timestamp,
): Transition<D, C> => {
  const over = withStep(instance, step.name, { status: "failed" });
  return step.otherwise === "goOn" ? [over, []] : turn(definition, over, { step: step.name, reason }, now);
};

/** The aggregate's answer to a local step. */
export const answered = <D, C>(
  definition: Definition<D, C>,
  instance: Instance<D>,
  name: string,
  accepted: boolean,
  now: Timestamp,
): Transition<D, C> => {
  const step = definition.steps.find((candidate) => candidate.name === name);
  if (step?._tag !== "Local" || instance.status !== "running" || stateOf(instance, name).status !== "sent") return [instance, []];
  return accepted ? advance(definition, doneWith(instance, name, instance.data), now) : on(definition, instance, step, step.refused, now);
};

/** A step of a running saga was not answered in its time, or its pause is over. */
export const overdue = <D, C>(definition: Definition<D, C>, instance: Instance<D>, step: Step<D, C>, now: Timestamp): Transition<D, C> => {
  const { status, attempts, waits } = stateOf(instance, step.name);
  if (step._tag === "Local") return [instance, []];
  if (step._tag === "Signal") return on(definition, instance, step, step.timeoutReason, now);
  if (status === "waiting") {
    return waits?.for === "signal" ? on(definition, instance, step, waits.reason, now) : nextRound(instance, step, now);
  }
  const givesUp = step.kind === "compensatable" && attempts >= step.attemptsMax;
  // It may have happened: it stays `sent`, and is undone with the others.
  return givesUp ? turn(definition, instance, { step: step.name, reason: step.timeoutReason }, now) : probe(instance, step, now);
};
