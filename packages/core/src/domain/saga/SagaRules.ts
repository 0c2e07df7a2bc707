/**
 * What a saga's steps must keep, beyond what does not compile: each rule refuses with what to do about it.
 *
 * It holds after each step that is declared, so a definition that exists keeps it.
 */
import type { Step } from "./SagaStep.ts";

/** Throws: a wrong definition is a programming error, found at start. */
export const refuse = (saga: string, problem: string): never => {
  throw new Error(`saga "${saga}": ${problem}`);
};

/** What is wrong with the steps of a saga with or without a deadline; null: nothing. */
export const problem = <D, C>(steps: ReadonlyArray<Step<D, C>>, hasDeadline: boolean): string | null => {
  const names = new Set<string>();
  for (const step of steps) {
    const wrong = ofNames(step, names) ?? ofReplies(step) ?? ofKind(step, steps) ?? ofRest(step, hasDeadline) ?? ofTurn(step, steps);
    if (wrong !== null) return wrong;
    names.add(step.name);
  }
  return ofSignals(steps);
};

const ofNames = <D, C>({ name, after }: Step<D, C>, before: ReadonlySet<string>): string | null => {
  if (before.has(name)) return `two steps are named "${name}": give each its own name`;
  if (name === "" || name.includes(":")) return `a step's name is part of its key and cannot be "${name}": leave the ":" out`;
  const unknown = after.find((each) => !before.has(each));
  return unknown === undefined ? null : `"${name}" is never reached: no step "${unknown}" is declared before it`;
};

const ofReplies = <D, C>(step: Step<D, C>): string | null => {
  if (step._tag === "Local") return null;
  if (step.failures.some(({ type }) => type === step.done.type)) {
    return `"${step.name}" cannot tell success from failure, both are "${step.done.type}": give each a type of its own`;
  }
  return ofBounds(step);
};

const ofBounds = <D, C>(step: Exclude<Step<D, C>, { readonly _tag: "Local" }>): string | null => {
  if (step.timeoutMillis !== null && step.timeoutMillis <= 0) return `"${step.name}" needs a timeout above 0 milliseconds`;
  if (step._tag === "Signal") return null;
  const { attemptsMax, retry, retryOn } = step;
  if (!isCount(attemptsMax)) return `"${step.name}" has to be asked at least once: raise its attempts to 1 or more`;
  if (retry !== null) {
    if (!isCount(retry.rounds)) return `"${step.name}" needs at least one round: raise its retry.rounds`;
    if (retry.firstMillis <= 0 || retry.maxMillis < retry.firstMillis) return `"${step.name}" needs pauses 0 < retry.first <= retry.max`;
    if (!(retry.jitter >= 0 && retry.jitter <= 1)) return `"${step.name}" needs a retry.jitter from 0 to 1`;
    if (step.failures.length === 0) return `"${step.name}" is tried again after failures, but declares none: add them to failed`;
  }
  if (retryOn !== null) {
    if (!isCount(retryOn.rounds)) return `"${step.name}" needs at least one round: raise its retryOnSignal.rounds`;
    if (retryOn.timeoutMillis <= 0) return `"${step.name}" needs a retryOnSignal.within above 0 milliseconds`;
    if (step.failures.length === 0) return `"${step.name}" waits for a signal after failures, but declares none: add them to failed`;
  }
  return null;
};

const isCount = (value: number): boolean => Number.isInteger(value) && value >= 1;

/** The types keep it; a program without types hears it. */
const ofKind = <D, C>(step: Step<D, C>, steps: ReadonlyArray<Step<D, C>>): string | null => {
  const pivots = steps.filter(({ kind }) => kind === "pivot");
  if (pivots.length > 1) return `it has ${pivots.length} pivots: declare one step as the point of no return`;
  const [pivot] = pivots;
  if (pivot === undefined) return step.kind === "retriable" ? `"${step.name}" stands before the pivot: declare it with Saga.step` : null;
  const isBefore = steps.indexOf(step) < steps.indexOf(pivot);
  if (isBefore && step.kind === "retriable") return `"${step.name}" stands before the pivot: declare it with Saga.step`;
  if (step.kind === "compensatable" && !isBefore) return `"${step.name}" stands after the pivot: declare it with Saga.retriable`;
  if (step !== pivot && (isBefore ? !precedes(steps, step, pivot) : !precedes(steps, pivot, step))) {
    return `the pivot "${pivot.name}" stands beside "${step.name}": take it out of Saga.parallel, it must stand alone`;
  }
  return null;
};

/** Nothing waits silently for ever (G8). */
const ofRest = <D, C>(step: Step<D, C>, hasDeadline: boolean): string | null => {
  if (step._tag !== "Signal" || step.timeoutMillis !== null || (hasDeadline && step.kind === "compensatable")) return null;
  const remedy = step.kind === "compensatable" ? "give it a timeout, or the saga a deadline" : "give it a timeout";
  return `"${step.name}" may wait for ever: ${remedy}`;
};

/** After the pivot, a step that may turn the saga around finds nothing done that nobody can undo. */
const ofTurn = <D, C>(step: Step<D, C>, steps: ReadonlyArray<Step<D, C>>): string | null => {
  if (step.kind !== "retriable" || !mayTurn(step)) return null;
  for (const other of steps) {
    if (other._tag !== "Remote" || other === step || other.kind === "compensatable" || precedes(steps, step, other)) continue;
    if (other.undo !== null || other.noUndo !== null) continue;
    return `"${step.name}" may turn the saga around when "${other.name}" is done: give "${other.name}" an undo, or say why it needs none`;
  }
  return null;
};

/** Whether it may fail for good and undo what was done. */
export const mayTurn = <D, C>(step: Step<D, C>): boolean => {
  switch (step._tag) {
    case "Local":
      return true;
    case "Signal":
      return step.otherwise === "undo" && (step.failures.length > 0 || step.timeoutMillis !== null);
    case "Remote":
      return step.otherwise === "undo" && (step.failures.length > 0 || step.kind === "compensatable");
  }
};

/** Whether `first` is over, on every way, before `second` begins. */
const precedes = <D, C>(steps: ReadonlyArray<Step<D, C>>, first: Step<D, C>, second: Step<D, C>): boolean => {
  const open = [...second.after];
  for (let name = open.pop(); name !== undefined; name = open.pop()) {
    if (name === first.name) return true;
    open.push(...(steps.find((step) => step.name === name)?.after ?? []));
  }
  return false;
};

/** A signal has no key but its type. */
const ofSignals = <D, C>(steps: ReadonlyArray<Step<D, C>>): string | null => {
  const waiting = new Map<string, string>();
  for (const step of steps) {
    const types = step._tag === "Signal" ? step.awaits : step._tag === "Remote" && step.retryOn !== null ? [step.retryOn.signal] : [];
    for (const { type } of types) {
      const other = waiting.get(type);
      if (other !== undefined)
        return `"${other}" and "${step.name}" both wait for "${type}": which one is meant? Give each a type of its own`;
      waiting.set(type, step.name);
    }
  }
  return null;
};
