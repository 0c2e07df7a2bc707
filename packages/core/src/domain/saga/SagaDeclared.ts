/**
 * What a program without types may declare, and types would have refused: nothing here is believed. Each rule refuses with what to
 * do about it, where the saga is declared: a condition that is no function would else be found by the first instance.
 */
import { Predicate, Schema } from "effect";
import type { Kind } from "./SagaStep.ts";

/** What is wrong with what `Saga.make` is given; null: nothing. */
export const ofOptions = (options: unknown): string | null => {
  if (!Predicate.isObject(options)) return "it needs what it is: say Saga.make(name, { version: 1, data: Schema })";
  const unknownInstance = at(options, "unknownInstance");
  if (typeof at(options, "version") !== "number") return `its version has to be a number: count from 1`;
  if (!Schema.isSchema(at(options, "data")))
    return "it needs data, the schema of what an instance remembers: a Schema.Struct, or shape(parse) of the promise package";
  if (!["ignore", "deadLetter", undefined].some((each) => each === unknownInstance))
    return 'its unknownInstance is neither "ignore" nor "deadLetter": say one of them, or leave it out';
  return ofFunctions("it", options, [], ["onTurned", "onUndone", "canceled"]);
};

/** What is wrong with the declaration of a step that sends. */
export const ofRemote = (name: string, kind: Kind, options: unknown): string | null => {
  if (!isMessage(at(options, "send"))) return `"${name}" needs a command to send: a Message.command`;
  if (!isMessage(at(options, "done"))) return `"${name}" needs the reply that says it is done: a Message.event`;
  const failed = at(options, "failed");
  const mayFail = kind === "retriable" && Array.isArray(failed) && failed.length > 0;
  return (
    ofFunctions(`"${name}"`, options, ["with"], ["onDone", "when"]) ??
    ofFailed(name, failed) ??
    ofUndo(name, kind, at(options, "undo")) ??
    ofProbe(name, at(options, "probe")) ??
    ofRetry(name, at(options, "retryOnSignal")) ??
    ofOtherwise(name, mayFail, at(options, "otherwise"))
  );
};

/** What is wrong with the declaration of a signal. */
export const ofSignal = (name: string, options: unknown): string | null => {
  if (!isMessage(at(options, "on"))) return `"${name}" needs the message that it waits for: on`;
  const failed = at(options, "failed");
  const mayFail = at(options, "timeout") !== undefined || (Array.isArray(failed) && failed.length > 0);
  return (
    ofFunctions(`"${name}"`, options, [], ["onDone", "when"]) ??
    ofFailed(name, failed) ??
    ofOtherwise(name, mayFail, at(options, "otherwise"))
  );
};

/** What is wrong with the declaration of a step in the aggregate. */
export const ofLocal = (name: string, options: unknown): string | null => {
  const refused = at(options, "refused");
  if (typeof refused !== "string" || refused === "")
    return `"${name}" does not say why the saga turns around when it is refused: refused: "why"`;
  return ofFunctions(`"${name}"`, options, ["command"], ["when"]);
};

/** What is wrong with the branches of a `Saga.parallel`. */
export const ofBranches = (branches: unknown): string | null => {
  const isBranch = (branch: unknown) =>
    typeof branch === "function" || (Array.isArray(branch) && branch.every((part) => typeof part === "function"));
  if (Array.isArray(branches) && branches.every(isBranch)) return null;
  return "Saga.parallel needs a list of branches, each a step or a list of steps: Saga.parallel([Saga.step(…), [Saga.step(…), Saga.step(…)]])";
};

/** What is wrong with a failure reply; null: nothing. */
export const ofFailedBy = (type: unknown, reason: unknown): string | null => {
  if (isMessage(type) && typeof reason === "function") return null;
  return 'Saga.failedBy needs the reply and a function that says why: Saga.failedBy(Message, () => "why")';
};

/** What is wrong with who does what in a choreography; null: nothing. */
export const ofDistribution = (distribution: unknown): string | null => {
  const [home, owners] = [at(distribution, "home"), at(distribution, "owners")];
  if (typeof home === "string" && home !== "" && Predicate.isObject(owners)) return null;
  return 'it needs its home and who does which step: Saga.choreograph(saga, { home: "service", owners: { step: "service" } })';
};

/** Whether it was declared at all. */
export const isSaga = (value: unknown): boolean => typeof at(value, "name") === "string" && Array.isArray(at(value, "steps"));

const ofFunctions = (who: string, options: unknown, needed: ReadonlyArray<string>, optional: ReadonlyArray<string>): string | null => {
  for (const name of [...needed, ...optional]) {
    const value = at(options, name);
    if (typeof value === "function" || (value === undefined && optional.includes(name))) continue;
    return `${who} needs a function as ${name}${optional.includes(name) ? ", or none" : ""}: ${name}: (data) => …`;
  }
  return null;
};

const ofFailed = (name: string, failed: unknown): string | null => {
  const isReply = (reply: unknown) => isMessage(at(reply, "type")) && typeof at(reply, "read") === "function";
  if (failed === undefined || (Array.isArray(failed) && failed.every(isReply))) return null;
  return `"${name}" has failures that do not say why: give it a list, failed: [Saga.failedBy(Message, () => "why")]`;
};

const UNDO = 'say undo: { send, with, done }, or undo: { none: "why it needs none" }';

const ofUndo = (name: string, kind: Kind, undo: unknown): string | null => {
  if (undo === undefined) return kind === "retriable" ? null : `"${name}" has neither an undo nor a reason for having none: ${UNDO}`;
  const [none, send, done, refused] = [at(undo, "none"), at(undo, "send"), at(undo, "done"), at(undo, "refused")];
  if (Predicate.hasProperty(undo, "none")) {
    if (typeof none !== "string" || none.trim() === "") return `"${name}" has no undo, and does not say why: ${UNDO}`;
    return send === undefined ? null : `"${name}" has an undo, and a reason for having none: say one of them, and leave out the other`;
  }
  const isWhole = isMessage(send) && typeof at(undo, "with") === "function" && isMessage(done);
  if (!isWhole) return `"${name}" has an undo that is not whole: ${UNDO}`;
  return refused === undefined || isMessage(refused) ? null : `"${name}" needs a Message.event as undo.refused, or none`;
};

const ofProbe = (name: string, probe: unknown): string | null => {
  const isWhole = isMessage(at(probe, "send")) && typeof at(probe, "with") === "function" && isMessage(at(probe, "unseen"));
  return probe === undefined || isWhole ? null : `"${name}" has a probe that is not whole: say probe: { send, with, unseen }`;
};

const ofRetry = (name: string, retry: unknown): string | null => {
  const isWhole = isMessage(at(retry, "signal")) && typeof at(retry, "onSignal") === "function";
  if (retry === undefined || isWhole) return null;
  return `"${name}" has a retryOnSignal that is not whole: say retryOnSignal: { signal, onSignal, within }`;
};

const ofOtherwise = (name: string, mayFail: boolean, otherwise: unknown): string | null => {
  if (otherwise === "undo" || otherwise === "goOn" || (otherwise === undefined && !mayFail)) return null;
  return `"${name}" does not say what happens when it fails: give it otherwise: "undo" or "goOn"`;
};

const isMessage = (value: unknown): boolean => typeof at(value, "type") === "string" && typeof at(value, "decode") === "function";

const at = (value: unknown, name: string): unknown => (Predicate.hasProperty(value, name) ? value[name] : undefined);
