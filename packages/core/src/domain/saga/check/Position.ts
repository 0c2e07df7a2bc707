/**
 * Where a saga stands: an instance without what makes no difference to what it decides, so that equal ones are one.
 *
 * Left out: times (something is due or it is not), how often it was asked (a firing brings either the last attempt or one
 * before it), the timer's token, who did what, and of the failure all but the one thing that a law asks for.
 */
import type { Instance, StepState } from "../SagaState.ts";
import { type AbstractSaga, CANCELED, DEADLINE } from "./AbstractSaga.ts";
import { ID } from "./Calls.ts";

/** The present, and when everything is due that is not due now. Milliseconds. */
export const NOW = 1_000_000;
export const LATER = 2_000_000;

/** Null: there is no instance. */
export interface Position {
  readonly id: number;
  readonly instance: Instance<null> | null;
}

/** A failure is `called off` by a cancel or the deadline, or comes from a step `before` or `after` the pivot. */
export const CALLED_OFF = "called off";
export const BEFORE = "before";
export const AFTER = "after";

/** Gives equal instances the same position. */
export const table = (saga: AbstractSaga): ((instance: Instance<null> | null) => Position) => {
  const known = new Map<string, Position>();
  return (instance) => {
    const plain = instance === null ? null : simplified(saga, instance);
    const text = plain === null ? "" : JSON.stringify(plain);
    const position = known.get(text) ?? { id: known.size, instance: plain };
    known.set(text, position);
    return position;
  };
};

const simplified = (saga: AbstractSaga, { status, steps, failure, wakeAt }: Instance<null>): Instance<null> => {
  const plain: { [name: string]: StepState } = {};
  for (const { name } of saga.steps) {
    const state = steps[name];
    if (state !== undefined) plain[name] = plainStep(state);
  }
  return {
    saga: saga.name,
    version: saga.version,
    id: ID,
    status,
    data: null,
    steps: plain,
    failure: failure === null ? null : { step: "", reason: classOf(saga, failure) },
    startedAt: NOW,
    wakeAt: wakeAt === null ? null : NOW,
    wakes: 0,
  };
};

const plainStep = ({ status, round, attempts, dueAt, waits, kept }: StepState): StepState => ({
  status,
  round,
  attempts: Math.min(attempts, 1),
  ...(dueAt === undefined ? {} : { dueAt: LATER }),
  ...(waits === undefined ? {} : { waits: { for: waits.for, reason: "" } }),
  ...(kept === undefined ? {} : { kept }),
});

const classOf = ({ steps }: AbstractSaga, { step: name, reason }: { readonly step: string; readonly reason: string }): string => {
  if (name === "") return reason;
  if (reason === CANCELED || reason === DEADLINE) return CALLED_OFF;
  return steps.find((step) => step.name === name)?.kind === "retriable" ? AFTER : BEFORE;
};
