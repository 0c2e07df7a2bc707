/**
 * Which part of which step a command of a `DirectSaga` is: its do (or the probe of it), or its undo. It is read off the shape of
 * the version that the instance is in.
 */
import type * as Message from "../domain/Message.ts";
import type * as SagaShape from "../domain/saga/SagaShape.ts";
import type * as SagaVersions from "../domain/saga/SagaVersions.ts";

export interface Part {
  readonly step: string;
  readonly isUndo: boolean;
  /** Message types that it may be answered with. */
  readonly answers: ReadonlyArray<string>;
}

type Known = SagaVersions.Versions<never, never>["known"];

export const of = (known: Known, { instance }: SagaVersions.Pinned<never>, { stepKey, type }: Message.Draft): Part => {
  // `<instance>:<step>:<round>`, and no step has a ":" in its name.
  const step = stepKey === null ? "" : stepKey.slice(instance.id.length + 1, stepKey.lastIndexOf(":"));
  const messages = known.get(instance.version)?.shape.steps.find(({ name }) => name === step)?.messages ?? {};
  const [undo, ...undone] = messages["undo"] ?? [];
  // A step that is given up in the commit that asks for it again has both there.
  if (undo === type && instance.steps[step]?.status === "undoing")
    return { step, isUndo: true, answers: undone.filter((type) => type !== "") };
  return { step, isUndo: false, answers: [...(messages["done"] ?? []), ...(messages["failures"] ?? []), ...unseenIn(messages)] };
};

const unseenIn = (messages: SagaShape.StepShape["messages"]): ReadonlyArray<string> => (messages["probe"] ?? []).slice(1);

/** What a step sends messages for, first of their types in its shape. */
const SENT_FOR = ["sends", "probe", "undo"];

/** What is wrong with functions for these commands; null: nothing. */
export const problem = (known: Known, functions: ReadonlyArray<string>): string | null => {
  const sent = new Set<string | undefined>();
  for (const { shape } of known.values()) {
    for (const { messages } of shape.steps) for (const purpose of SENT_FOR) sent.add(messages[purpose]?.[0]);
  }
  for (const [index, type] of functions.entries()) {
    if (functions.indexOf(type) !== index) return `two functions perform "${type}": leave one of them out`;
    if (!sent.has(type)) return `it never sends "${type}": leave its function out, or name the command in a step's send, undo or probe`;
  }
  return null;
};
