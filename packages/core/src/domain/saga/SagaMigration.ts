/**
 * From one version of a saga to a later one, for an instance in flight.
 *
 * An instance goes only where nothing of it gets lost and no step is done twice:
 * 1. It is running. What is being undone is undone by the version that did it.
 * 2. A step that was begun, and is not over with nothing left to undo, is in both versions, under the same name (which is part of
 *    its key), and sends, awaits and undoes the same.
 * 3. A step that is new, in front of one that was begun already, is skipped; so it is as in the version before. An older step that
 *    would now come in front of one that was begun keeps the instance where it is.
 *
 * What it remembers is the migration's own affair; it may refuse, too. An instance that does not go stays in its version.
 */
import { Result } from "effect";
import type { Definition } from "./SagaDefinition.ts";
import * as SagaDifference from "./SagaDifference.ts";
import { type StepShape, of as shapeOf } from "./SagaShape.ts";
import { type Instance, stateOf, type StepState } from "./SagaState.ts";
import type { Step } from "./SagaStep.ts";

export interface Migration<A, B> {
  /** What the instance remembers from now on, or why it stays. `steps` by their old names; those that were not begun are absent. */
  readonly data: (data: A, steps: Instance<A>["steps"]) => Result.Result<B, string>;
  /** Old name to new name. */
  readonly renamed?: { readonly [from: string]: string };
}

/** Throws where what it renames would be mistaken for another step. */
export const check = <A, B, C>(from: Definition<A, C>, to: Definition<B, C>, { renamed = {} }: Migration<A, B>): void => {
  const names = new Set<string>();
  for (const [old, name] of Object.entries(renamed)) {
    const problem = renameProblem(from, to, old, name) ?? (names.has(name) ? `renames two steps to "${name}": keep one of them` : null);
    if (problem !== null) throw new Error(`${from.name}: the migration from ${from.version} to ${to.version} ${problem}`);
    names.add(name);
  }
};

const renameProblem = <A, B, C>(from: Definition<A, C>, to: Definition<B, C>, old: string, name: string): string | null => {
  const [was, is] = [from.steps.find((step) => step.name === old), to.steps.find((step) => step.name === name)];
  if (was === undefined) return `renames "${old}", which is no step of version ${from.version}: leave it out`;
  if (is === undefined) return `renames "${old}" to "${name}", which is no step of version ${to.version}: declare it`;
  // A name is part of a step's keys: one that was used is taken.
  if (from.steps.some((step) => step.name === name)) return `renames "${old}" to "${name}", which was a step before: give it a new name`;
  if (to.steps.some((step) => step.name === old)) return `renames "${old}", which still is a step: give that one a new name`;
  const [before, after] = [kindOf(was), kindOf(is)];
  return before === after ? null : `renames "${old}" (${before}) to "${name}" (${after}): a renamed step keeps its kind`;
};

const kindOf = <D, C>({ kind, _tag }: Step<D, C>): string => `${kind} ${_tag}`;

/** Pure. The instance in the version `to`, or why it stays. */
export const move = <A, B, C>(
  from: Definition<A, C>,
  to: Definition<B, C>,
  migration: Migration<A, B>,
  instance: Instance<A>,
): Result.Result<Instance<B>, string> => {
  if (instance.status !== "running") return Result.fail(`it is ${instance.status}`);
  const renamed = migration.renamed ?? {};
  const steps = carried(from, to, renamed, instance);
  if (Result.isFailure(steps)) return Result.fail(steps.failure);
  const ordered = inOrder(from, to, renamed, steps.success);
  if (Result.isFailure(ordered)) return Result.fail(ordered.failure);
  return Result.map(migration.data(instance.data, instance.steps), (data) => ({
    ...instance,
    version: to.version,
    data,
    steps: ordered.success,
  }));
};

type States = { readonly [name: string]: StepState };

/** The states of its steps, under their new names. */
const carried = <A, B, C>(
  from: Definition<A, C>,
  to: Definition<B, C>,
  renamed: { readonly [from: string]: string },
  instance: Instance<A>,
): Result.Result<States, string> => {
  const [before, after] = [shapeOf(from).steps, shapeOf(to).steps];
  const steps: Record<string, StepState> = {};
  for (const [index, step] of from.steps.entries()) {
    const state = stateOf(instance, step.name);
    const [was, is] = [before[index], after.find(({ name }) => name === (renamed[step.name] ?? step.name))];
    if (was === undefined) continue;
    // Over as one kind it is not over as another: a pivot that counts as skipped.
    if (is !== undefined && is.kind !== was.kind && state.status !== "pending")
      return Result.fail(`"${step.name}" is ${state.status}, and it is ${is.kind}, not ${was.kind}`);
    const problem = isOver(step, state) ? null : problemOf(was, is);
    if (problem !== null) return Result.fail(`"${step.name}" was begun, and ${problem}`);
    // Renamed, its key is another one: its undo would not find what it did.
    if (is !== undefined && is.name !== step.name && state.status === "done" && is.messages["undo"]?.length !== 0)
      return Result.fail(`"${step.name}" is done, and its undo would have another key`);
    if (is !== undefined && instance.steps[step.name] !== undefined) steps[is.name] = state;
  }
  return Result.succeed(steps);
};

/** Not begun, or nothing of it is awaited or left to be undone. */
const isOver = <D, C>(step: Step<D, C>, { status }: StepState): boolean => {
  if (status === "pending" || status === "skipped" || status === "failed" || status === "undone") return true;
  return status === "done" && step.kind !== "pivot" && (step._tag !== "Remote" || step.undo === null);
};

/** Why a step that is not over cannot be gone on with. */
const problemOf = (was: StepShape, is: StepShape | undefined): string | null => {
  if (is === undefined) return "is no step any more";
  if (is.name !== was.name) return `is called "${is.name}" now: its key would be another one`;
  const [change] = SagaDifference.ofStep(was, { ...is, after: was.after, isConditional: was.isConditional });
  return change ?? null;
};

/** New steps that come in front of what was begun are skipped. */
const inOrder = <A, B, C>(
  from: Definition<A, C>,
  to: Definition<B, C>,
  renamed: { readonly [from: string]: string },
  steps: States,
): Result.Result<States, string> => {
  const older = new Set(from.steps.map(({ name }) => renamed[name] ?? name));
  const ordered: Record<string, StepState> = { ...steps };
  /** Steps that something which was begun comes after. */
  const passed = new Set<string>();
  for (const { name, after } of to.steps.toReversed()) {
    const isBegun = steps[name] !== undefined && steps[name].status !== "pending";
    if (!isBegun && passed.has(name)) {
      if (older.has(name)) return Result.fail(`"${name}" comes in front of a step that was begun`);
      ordered[name] = { status: "skipped", round: 1, attempts: 0 };
    }
    if (isBegun || passed.has(name)) for (const before of after) passed.add(before);
  }
  return Result.succeed(ordered);
};
