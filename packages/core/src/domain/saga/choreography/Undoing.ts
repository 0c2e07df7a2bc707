/**
 * After the arbiter has aborted: each service undoes what is its own and tells that it is undone; the arbiter closes the
 * instance when everyone has.
 *
 * A step is undone after all that come after it: its own service's steps by their state, the others by what was told. A step
 * that never began, or leaves nothing behind, is told at once; it will not begin any more.
 */
import type * as Message from "../../Message.ts";
import type { Timestamp } from "../../Timestamp.ts";
import type { Failure } from "../SagaDefinition.ts";
import { woken } from "../SagaDecider.ts";
import { type Instance, type Send, stateOf, stepKey, withStep } from "../SagaState.ts";
import type { RemoteStep } from "../SagaStep.ts";
import * as SagaUndo from "../SagaUndo.ts";
import type { Projection } from "./Choreography.ts";
import * as Known from "./Known.ts";
import { type Aborted, type Reaction, type Row, say, follow } from "./Row.ts";
import * as Watch from "./Watch.ts";

/** The arbiter has decided, here or elsewhere. */
export const begin = <D, C>(
  projection: Projection<D, C>,
  row: Row<D>,
  aborted: Aborted,
  outcomes: Known.Outcomes,
  now: Timestamp,
): Reaction<D, C> => {
  const { instance } = row;
  if (instance === null) return Watch.begin(undo(projection, { ...row, aborted }, now), now);
  const data = { ...instance.data, outcomes: { ...instance.data.outcomes, ...outcomes } };
  const turned: Row<D> = { ...row, aborted, instance: { ...unhurried(instance), data, status: "compensating", failure: aborted.failure } };
  const told = toldOf(projection, aborted, data);
  return Watch.begin(
    follow([turned, told], (next) => undo(projection, next, now)),
    now,
  );
};

/** Nothing is expected of a step any more until its undo is asked for. */
const unhurried = <D>(instance: Instance<D>): Instance<D> => {
  const steps = Object.entries(instance.steps).map(([name, { dueAt: _, ...state }]) => [name, state] as const);
  return { ...instance, steps: Object.fromEntries(steps) };
};

/** The aggregate hears that the saga has turned around after the pivot. */
const toldOf = <D, C>(
  { isHome, whole }: Projection<D, C>,
  { failure, pivoted }: Aborted,
  known: Known.Known<D>,
): ReadonlyArray<Send<C>> => {
  const command = isHome && pivoted ? whole.onTurned(failure, Known.dataOf(whole.steps, known)) : null;
  return command === null ? [] : [{ _tag: "Local", step: null, command }];
};

/** Asks for every undo whose turn has come, and tells what is settled. */
export const undo = <D, C>(projection: Projection<D, C>, row: Row<D>, now: Timestamp): Reaction<D, C> => {
  const { definition, owns, whole, protocol } = projection;
  const settled = new Set(row.settled);
  const send: Array<Send<C>> = [];
  let { instance } = row;
  for (const { name } of whole.steps.toReversed()) {
    if (!owns.has(name) || settled.has(name)) continue;
    if (instance === null) settled.add(name);
    else {
      const step = definition.steps.find((each) => each.name === name);
      const { status } = stateOf(instance, name);
      const isOpen = status === "undoing" || status === "undoRefused";
      const hasUndo = step?._tag === "Remote" && step.undo !== null && (status === "sent" || status === "done");
      if (!isOpen && !hasUndo) {
        if (status === "sent" || status === "done") instance = withStep(instance, name, { status: "undone" });
        if (status === "waiting") instance = withStep(instance, name, { status: "failed" });
        settled.add(name);
      } else if (hasUndo && step.undo !== null && isFree(projection, name, settled)) {
        const [asked, asks] = SagaUndo.askUndo(definition, withStep(instance, name, { status: "undoing" }), step, step.undo, now);
        instance = asked;
        send.push(...asks);
      }
    }
  }
  const news = [...settled].filter((name) => !row.settled.includes(name));
  if (news.length > 0) send.push(say(projection, protocol.Undone, { instance: row.id, steps: news }, now));
  const next: Row<D> = { ...row, instance, settled: [...settled], refused: row.refused.filter((name) => !settled.has(name)) };
  return follow([next, send], (undone) => close(projection, rested(projection, undone), now));
};

const isFree = <D, C>({ followers }: Projection<D, C>, step: string, settled: ReadonlySet<string>): boolean =>
  [...(followers.get(step) ?? [])].every((name) => settled.has(name));

/** It rests where nothing is under way here and an undo was refused for good. */
const rested = <D, C>({ owns }: Projection<D, C>, row: Row<D>): Row<D> => {
  const { instance } = row;
  if (instance === null) return row;
  const isUndoing = [...owns].some((name) => stateOf(instance, name).status === "undoing");
  const status = row.refused.length > 0 && !isUndoing ? "compensationFailed" : "compensating";
  return { ...row, instance: instance.status === status ? instance : { ...instance, status } };
};

/** The arbiter closes what is settled to the last step. Everyone else keeps the timers they need. */
const close = <D, C>(projection: Projection<D, C>, row: Row<D>, now: Timestamp): Reaction<D, C> => {
  const { isArbiter, whole, protocol } = projection;
  if (row.aborted !== null && isArbiter && whole.steps.every(({ name }) => row.settled.includes(name))) {
    const { failure, pivoted } = row.aborted;
    const told = say(projection, protocol.Closed, { instance: row.id, failure, pivoted }, now);
    return follow([row, [told]], (next) => end(projection, next, failure, pivoted));
  }
  return wake(projection, row);
};

const wake = <D, C>({ definition }: Projection<D, C>, row: Row<D>): Reaction<D, C> => {
  if (row.instance === null) return [row, []];
  const [instance, send] = woken<Known.Known<D>, C>(definition, [row.instance, []]);
  return [{ ...row, instance }, send];
};

/** Everything is done (`failure` null) or undone, everywhere. */
export const end = <D, C>(projection: Projection<D, C>, row: Row<D>, failure: Failure | null, pivoted: boolean): Reaction<D, C> => {
  const { isHome, whole } = projection;
  const { instance } = row;
  const ended = Watch.end<D, C>({ ...row, isClosed: true });
  if (instance === null) return ended;
  const told = failure === null || !isHome ? null : whole.onUndone(failure, Known.dataOf(whole.steps, instance.data), pivoted);
  const closed: Instance<Known.Known<D>> = { ...instance, failure, status: failure === null ? "completed" : "compensated" };
  return follow(ended, (next) => {
    const [woke, send] = wake(projection, { ...next, instance: closed });
    return [woke, told === null ? send : [{ _tag: "Local", step: null, command: told }, ...send]];
  });
};

/** What a participant answers to an undo. Confirmed only under its key. */
export const answered = <D, C>(
  projection: Projection<D, C>,
  row: Row<D>,
  step: RemoteStep<Known.Known<D>>,
  { type, stepKey: key }: Message.Envelope,
  now: Timestamp,
): Reaction<D, C> => {
  const { instance } = row;
  if (instance === null || step.undo === null || key !== stepKey(instance, step.name)) return [row, []];
  if (stateOf(instance, step.name).status !== "undoing") return [row, []];
  if (type === step.undo.done.type) return undo(projection, { ...row, instance: withStep(instance, step.name, { status: "undone" }) }, now);
  if (type !== step.undo.refused?.type) return [row, []];
  const refused: Row<D> = { ...row, instance: withStep(instance, step.name, { status: "undoRefused" }) };
  const told = say(projection, projection.protocol.UndoRefused, { instance: row.id, step: step.name }, now);
  return follow([refusedBy(refused, step.name), [told]], (next) => undo(projection, next, now));
};

/** Nothing is left of these. */
export const undoneBy = <D>(row: Row<D>, steps: ReadonlyArray<string>): Row<D> => {
  const news = steps.filter((name) => !row.settled.includes(name));
  return news.length === 0 ? row : { ...row, settled: [...row.settled, ...news] };
};

/** Someone's undo was refused for good. */
export const refusedBy = <D>(row: Row<D>, step: string): Row<D> =>
  row.refused.includes(step) || row.settled.includes(step) ? row : { ...row, refused: [...row.refused, step] };
