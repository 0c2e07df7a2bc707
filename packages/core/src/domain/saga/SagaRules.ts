/**
 * What a saga's steps must keep, beyond what does not compile: each rule refuses with what to do about it. What only a program
 * without types can declare is refused before, by `SagaDeclared`.
 *
 * It holds after each step that is declared, so a definition that exists keeps it.
 */
import { Duration, Option } from "effect";
import type * as Message from "../Message.ts";
import type { Draft, Phase } from "./SagaDefinition.ts";
import * as SagaDeclared from "./SagaDeclared.ts";
import type { RemoteStep, Step } from "./SagaStep.ts";

/** Throws: a wrong definition is a programming error, found at start. */
export const refuse = (saga: string, problem: string): never => {
  throw new Error(`saga "${saga}": ${problem}`);
};

/** A time as it is declared, in milliseconds; NaN: it is none. */
export const millisOf = (input: Duration.Input): number =>
  Option.getOrElse(Option.map(Duration.fromInput(input), Duration.toMillis), () => NaN);

/** What is wrong with a saga before its first step; null: nothing. */
export const ofSaga = <D, C>(saga: Draft<D, C, Phase>): string | null => {
  const { name, version, startAfterMillis, deadlineMillis, undoRetryMillis } = saga;
  const { first, max } = undoRetryMillis;
  if (!isName(name)) return `its name is part of keys and cannot be "${name}": ${NAMES}`;
  if (!isCount(version) || version > VERSION_MAX) return `its version cannot be ${version}: count from 1`;
  if (startAfterMillis !== 0 && !isSpan(startAfterMillis)) return `it needs a startAfter of 0 or more ${WHOLE}, not ${startAfterMillis}`;
  if (deadlineMillis !== null && !isSpan(deadlineMillis)) return `it needs a deadline above 0 ${WHOLE}, not ${deadlineMillis}; or none`;
  if (!isSpan(first) || !isSpan(max) || max < first)
    return `it needs pauses 0 < undoRetry.first <= undoRetry.max, in whole milliseconds, not ${first} and ${max}`;
  return null;
};

/** Throws for a saga without a pivot: one that is still being declared, by a program without types. */
export const expectWhole = <D, C>(draft: Draft<D, C, Phase>): void => {
  if (!SagaDeclared.isSaga(draft)) throw new Error("this is no saga: declare one with Saga.make(…).pipe(…, Saga.pivot(…))");
  const { name, steps } = draft;
  if (steps.some(({ kind }) => kind === "pivot")) return;
  refuse(name, "it has no pivot: declare the point of no return with Saga.pivot; where nothing follows it, that is the last step");
};

/** Keys are `<instance>:<step>:<round>`, a version `<saga>@<version>`. Steps are members of an instance, and every object has some. */
const isName = (name: unknown): boolean =>
  typeof name === "string" && name.trim() !== "" && !/[:@/]/.test(name) && !(name in Object.prototype);

const NAMES = 'give it a name without ":", "@" and "/", and none that every JavaScript object has, such as "constructor"';

/** Stores keep it as a whole number of four bytes. */
const VERSION_MAX = 2_147_483_647;

const WHOLE = "milliseconds, in whole ones";

const isSpan = (millis: number): boolean => Number.isSafeInteger(millis) && millis > 0;

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
  if (!isName(name)) return `a step's name is part of its key and cannot be "${name}": ${NAMES}`;
  const unknown = after.find((each) => !before.has(each));
  return unknown === undefined ? null : `"${name}" is never reached: no step "${unknown}" is declared before it`;
};

const ofReplies = <D, C>(step: Step<D, C>): string | null => {
  if (step._tag === "Local") return null;
  if (step.failures.some(({ type }) => type === step.done.type)) {
    return `"${step.name}" cannot tell success from failure, both are "${step.done.type}": give each a type of its own`;
  }
  return (step._tag === "Remote" ? ofMessages(step) : null) ?? ofBounds(step);
};

/** What two messages say is told apart by their types; commands ask, events answer. */
const ofMessages = <D>({ name, sends, done, failures, undo, probe }: RemoteStep<D>): string | null => {
  const asked: ReadonlyArray<Message.AnyType> = [sends, ...(undo === null ? [] : [undo.sends]), ...(probe === null ? [] : [probe.sends])];
  const refused = undo?.refused ?? null;
  const undone = [...(undo === null ? [] : [undo.done]), ...(refused === null ? [] : [refused])];
  const answers = [done, ...failures, ...undone, ...(probe === null ? [] : [probe.unseen])];
  const event = asked.find(({ kind }) => kind === "event");
  if (event !== undefined) return `"${name}" sends the event "${event.type}": declare it with Message.command`;
  const command = answers.find(({ kind }) => kind === "command");
  if (command !== undefined) return `"${name}" is answered by the command "${command.type}": declare it with Message.event`;
  if (undo !== null && undo.done.type === refused?.type)
    return `"${name}" cannot tell whether it is undone or its undo refused, both are "${refused.type}": give each a type of its own`;
  const outcome = [done, ...failures].find(({ type }) => undone.some((each) => each.type === type));
  if (outcome !== undefined)
    return `"${name}" cannot tell an answer to its undo from a late one to itself, both are "${outcome.type}": give undo.done and undo.refused types of their own`;
  if (probe !== null && [done, ...failures].some(({ type }) => type === probe.unseen.type))
    return `"${name}" cannot tell an outcome from none, both are "${probe.unseen.type}": give probe.unseen a type of its own`;
  return null;
};

const ofBounds = <D, C>(step: Exclude<Step<D, C>, { readonly _tag: "Local" }>): string | null => {
  if (step.timeoutMillis !== null && !isSpan(step.timeoutMillis))
    return `"${step.name}" needs a timeout above 0 ${WHOLE}, not ${step.timeoutMillis}`;
  if (step._tag === "Signal") return null;
  const { attemptsMax, retry, retryOn } = step;
  if (!isCount(attemptsMax)) return `"${step.name}" has to be asked at least once: raise its attempts to 1 or more`;
  if (retry !== null) {
    if (!isCount(retry.rounds)) return `"${step.name}" needs at least one round: raise its retry.rounds`;
    if (!isSpan(retry.firstMillis) || !isSpan(retry.maxMillis) || retry.maxMillis < retry.firstMillis)
      return `"${step.name}" needs pauses 0 < retry.first <= retry.max`;
    if (!(retry.jitter >= 0 && retry.jitter <= 1)) return `"${step.name}" needs a retry.jitter from 0 to 1`;
    if (step.failures.length === 0) return `"${step.name}" is tried again after failures, but declares none: add them to failed`;
  }
  if (retryOn !== null) {
    if (!isCount(retryOn.rounds)) return `"${step.name}" needs at least one round: raise its retryOnSignal.rounds`;
    if (!isSpan(retryOn.timeoutMillis)) return `"${step.name}" needs a retryOnSignal.within above 0 ${WHOLE}`;
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
