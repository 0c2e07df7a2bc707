/**
 * What must hold, whatever happens. Money and goods agree (G3), said of any saga: at rest either all effects stand or all that
 * can be undone are undone; nothing is done twice; the pivot is undone only for a step after it.
 */
import type { Input, Instance } from "../SagaState.ts";
import type { AbstractSaga, AbstractStep } from "./AbstractSaga.ts";
import * as Calls from "./Calls.ts";
import type { Model } from "./Model.ts";
import * as Position from "./Position.ts";

export type Law =
  /** An effect under one key, or a step under two, is there twice. */
  | "DoneTwice"
  /** At rest something is done that should be undone, or was never asked for. */
  | "LeftStanding"
  /** It completed without something that it counts as done. */
  | "NotDone"
  /** A step began before those that it comes after were over. */
  | "BegunTooEarly"
  /** A step was to be undone while a later one stood. */
  | "UndoneOutOfOrder"
  /** The pivot was to be undone, and no step after it has failed. */
  | "PivotUndone"
  /** It rests in `compensationFailed`, and nothing was refused. */
  | "RestsWithoutReason"
  /** A call that has a probe was asked for again, and nobody had said that it never arrived. */
  | "AskedBlindly"
  /** A message with a key that no step has. */
  | "UnknownKey"
  /** Not at rest, and nothing will ever happen. */
  | "Stuck"
  /** Without faults it goes round for ever. */
  | "Endless";

export interface Broken {
  readonly law: Law;
  readonly problem: string;
}

/** Of a decision, whatever the world is like. */
export const ofDecision = (
  saga: AbstractSaga,
  before: Instance<null> | null,
  { _tag }: Input<null>,
  next: Instance<null> | null,
): Broken | null => {
  if (next === null) return null;
  if (_tag === "Resume" && before?.status === "compensationFailed" && next.status === "compensationFailed") {
    return { law: "Stuck", problem: "it rests in compensationFailed, and an operator's resume changes nothing" };
  }
  for (const { name, after } of saga.steps) {
    const { status = "pending" } = next.steps[name] ?? {};
    if (status === "pending" || (before?.steps[name]?.status ?? "pending") !== "pending") continue;
    const early = after.find((each) => ["pending", "sent", "waiting"].includes(next.steps[each]?.status ?? "pending"));
    if (early !== undefined) return { law: "BegunTooEarly", problem: `"${name}" begins before "${early}" is over` };
  }
  const steps = Object.values(next.steps);
  return next.status === "compensationFailed" && !steps.some(({ status }) => status === "undoRefused")
    ? { law: "RestsWithoutReason", problem: "it rests in compensationFailed, and no undo was refused" }
    : null;
};

/** Of asking for the undo of `step`, by what stands in the world. */
export const ofUndo = ({ saga, rounds }: Model, { instance }: Position.Position, calls: Calls.Calls, step: AbstractStep): Broken | null => {
  if (step.kind === "pivot" && instance?.failure?.reason !== Position.AFTER) {
    return { law: "PivotUndone", problem: `the pivot "${step.name}" is to be undone, and no step after it has failed` };
  }
  for (const later of saga.steps) {
    if (later._tag !== "Remote" || later.undo === null || !comesAfter(saga, later, step.name)) continue;
    if (Calls.standing(calls, rounds.get(later.name) ?? []) === 0) continue;
    return { law: "UndoneOutOfOrder", problem: `"${step.name}" is to be undone while "${later.name}", which came after it, is done` };
  }
  return null;
};

const comesAfter = (saga: AbstractSaga, later: AbstractStep, earlier: string): boolean =>
  later.after.some((name) => {
    const between = saga.steps.find((step) => step.name === name);
    return name === earlier || (between !== undefined && comesAfter(saga, between, earlier));
  });

/** Of what stands in the world. */
export const ofWorld = ({ saga, rounds }: Model, { instance }: Position.Position, calls: Calls.Calls): Broken | null => {
  for (const [name, each] of rounds) {
    if (each.some(({ index }) => Calls.effectOf(calls, index) === "twice")) {
      return { law: "DoneTwice", problem: `"${name}" is done twice under one key` };
    }
    if (each.length > 1 && Calls.standing(calls, each) > 1) return { law: "DoneTwice", problem: `"${name}" is done in two rounds` };
  }
  if (instance === null || instance.status === "running" || instance.status === "compensating") return null;
  for (const step of saga.steps) {
    const broken = atRest(step, instance, Calls.standing(calls, rounds.get(step.name) ?? []) > 0);
    if (broken !== null) return broken;
  }
  return null;
};

const atRest = (step: AbstractStep, instance: Instance<null>, stands: boolean): Broken | null => {
  const { name } = step;
  const { status: at } = instance;
  const { status = "pending" } = instance.steps[name] ?? {};
  if (at === "completed") {
    if (status !== "done" && status !== "skipped" && status !== "failed") {
      return { law: "NotDone", problem: `it is completed, and "${name}" is ${status}` };
    }
    if (step._tag !== "Remote" || stands === (status === "done")) return null;
    return stands
      ? { law: "LeftStanding", problem: `it is completed without "${name}", which is ${status} to the saga and done in the world` }
      : { law: "NotDone", problem: `it is completed, and "${name}" was not done` };
  }
  if (step._tag !== "Remote" || !stands) return null;
  if (step.kind === "pivot" && instance.failure?.reason !== Position.AFTER) {
    return { law: "LeftStanding", problem: `it is ${at}, and the pivot "${name}" is done` };
  }
  if (step.undo === null) return null;
  if (at === "compensationFailed" && (status === "undoRefused" || status === "done" || status === "sent")) return null;
  return { law: "LeftStanding", problem: `it is ${at}, and "${name}" is done and not undone` };
};
