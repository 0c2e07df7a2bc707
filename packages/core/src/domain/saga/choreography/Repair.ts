/**
 * A person's word about undos that were refused for good (G8), said at home: whoever owns the step asks for its undo again, or
 * counts it as undone by hand.
 *
 * It is about what is known as refused, and that is not known any more once it was said: until the owner tells of a refusal
 * again there is nothing to say. So no second word is taken while the first one is acted on.
 */
import type { Timestamp } from "../../Timestamp.ts";
import { stateOf, withStep } from "../SagaState.ts";
import * as SagaUndo from "../SagaUndo.ts";
import type { Projection } from "./Choreography.ts";
import { follow, type Input, type Reaction, type Row, say } from "./Row.ts";
import * as Undoing from "./Undoing.ts";

/** `step` null: all that were refused are asked for again. Else that one was undone by hand. */
type Word = Pick<Extract<Input<unknown>, { readonly _tag: "Resolve" }>, "by" | "note"> & { readonly step: string | null };

/** A person acts here; whoever owns the step hears of it. */
export const tell = <D, C>(projection: Projection<D, C>, row: Row<D>, { step, by, note }: Word, now: Timestamp): Reaction<D, C> => {
  if (row.instance?.status !== "compensationFailed" || !isRefused(row, step)) return [row, []];
  const told = say(projection, projection.protocol.Repair, { instance: row.id, step, by, note }, now);
  return follow([row, [told]], (next) => apply(projection, next, { step, by, note }, now));
};

/** Said here, or heard of. */
export const apply = <D, C>(projection: Projection<D, C>, row: Row<D>, { step, by, note }: Word, now: Timestamp): Reaction<D, C> => {
  if (row.instance === null || row.aborted === null || row.isClosed || !isRefused(row, step)) return [row, []];
  let instance = SagaUndo.audited(row.instance, { at: now, action: step === null ? "resume" : "resolve", step, by, note });
  for (const name of projection.owns) {
    if (stateOf(instance, name).status !== "undoRefused" || (step !== null && step !== name)) continue;
    instance = withStep(instance, name, { status: step === null ? "done" : "undone" });
  }
  const refused = step === null ? [] : row.refused.filter((name) => name !== step);
  return Undoing.undo(projection, { ...row, instance, refused }, now);
};

const isRefused = <D>({ refused }: Row<D>, step: string | null): boolean => (step === null ? refused.length > 0 : refused.includes(step));
