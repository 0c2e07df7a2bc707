/**
 * Turning around: what was done, or may have been, is undone in reverse order; what ran side by side is undone side by side.
 * Nothing interrupts it but an undo that is refused for good, and then everything that does not wait for that one is undone
 * first.
 */
import type { Timestamp } from "../Timestamp.ts";
import type { Definition, Failure } from "./SagaDefinition.ts";
import {
  type AuditEntry,
  AUDIT_MAX,
  type Instance,
  isPivoted,
  keysOf,
  type Send,
  START,
  stateOf,
  type Transition,
  withStep,
} from "./SagaState.ts";
import type { RemoteStep, Undo } from "./SagaStep.ts";

/** From running to compensating. */
export const turn = <D, C>(definition: Definition<D, C>, instance: Instance<D>, failure: Failure, now: Timestamp): Transition<D, C> => {
  const told = isPivoted(definition, instance) ? definition.onTurned(failure, instance.data) : null;
  const [next, send] = compensate(definition, { ...instance, status: "compensating", failure }, now);
  return [next, told === null ? send : [{ _tag: "Local", step: null, command: told }, ...send]];
};

/** Asks for every undo that no later one stands in front of; when there is none left, it tells the aggregate. */
export const compensate = <D, C>(definition: Definition<D, C>, instance: Instance<D>, now: Timestamp): Transition<D, C> => {
  let state = instance;
  let isRefused = false;
  let isUndoing = false;
  const send: Array<Send<C>> = [];
  const blocked = new Set<string>();
  for (let index = definition.steps.length - 1; index >= 0; index -= 1) {
    const step = definition.steps[index];
    if (step === undefined) continue;
    const isBlocked = blocked.has(step.name);
    const { status } = stateOf(state, step.name);
    if ((status === "sent" || status === "done") && !isBlocked) {
      if (step._tag === "Remote" && step.undo !== null) {
        const [asked, asks] = askUndo(definition, withStep(state, step.name, { status: "undoing" }), step, step.undo, now);
        state = asked;
        send.push(...asks);
      } else state = withStep(state, step.name, { status: "undone" });
    }
    if (status === "waiting") state = withStep(state, step.name, { status: "failed" });
    const left = stateOf(state, step.name).status;
    isUndoing ||= left === "undoing";
    isRefused ||= left === "undoRefused";
    if (isBlocked || left === "undoing" || left === "undoRefused" || left === "done") for (const name of step.after) blocked.add(name);
  }
  if (isUndoing) return [state, send];
  if (isRefused) return [{ ...state, status: "compensationFailed" }, send];
  const failure = state.failure ?? { step: START, reason: definition.canceled("operator") };
  const told = definition.onUndone(failure, state.data, isPivoted(definition, state));
  if (told !== null) send.push({ _tag: "Local", step: null, command: told });
  return [{ ...state, status: "compensated" }, send];
};

/** Longest power of two that a pause is multiplied by: 2^20 is beyond every longest pause. */
const DOUBLINGS_MAX = 20;

/** `first`, doubled with every time before, at most `max`. */
export const pauseMillis = (first: number, max: number, times: number): number =>
  Math.min(max, first * 2 ** Math.min(times - 1, DOUBLINGS_MAX));

export const askUndo = <D, C>(
  definition: Definition<D, C>,
  instance: Instance<D>,
  step: RemoteStep<D>,
  undo: Undo<D>,
  now: Timestamp,
): Transition<D, C> => {
  const attempts = stateOf(instance, step.name).attempts + 1;
  const { first, max } = definition.undoRetryMillis;
  const dueAt = now + pauseMillis(first, max, attempts);
  const draft = undo.command(instance.data, keysOf(instance, step.name));
  return [withStep(instance, step.name, { status: "undoing", attempts, dueAt }), [{ _tag: "Message", draft, answerBy: dueAt }]];
};

/** Asks again for what was refused, and goes on with what is left. */
export const resume = <D, C>(definition: Definition<D, C>, instance: Instance<D>, entry: AuditEntry): Transition<D, C> => {
  let state: Instance<D> = { ...audited(instance, entry), status: "compensating" };
  for (const { name } of definition.steps) {
    if (stateOf(state, name).status === "undoRefused") state = withStep(state, name, { status: "done" });
  }
  return compensate(definition, state, entry.at);
};

/** Takes a person's word that `step` was undone by hand, and goes on with what is left. */
export const resolve = <D, C>(definition: Definition<D, C>, instance: Instance<D>, step: string, entry: AuditEntry): Transition<D, C> => {
  if (stateOf(instance, step).status !== "undoRefused") return [instance, []];
  const resolved = withStep(audited(instance, entry), step, { status: "undone" });
  return compensate(definition, { ...resolved, status: "compensating" }, entry.at);
};

export const audited = <D>(instance: Instance<D>, entry: AuditEntry): Instance<D> => ({
  ...instance,
  audit: [...(instance.audit ?? []), entry].slice(-AUDIT_MAX),
});
