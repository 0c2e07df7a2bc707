/**
 * Nothing is waited for silently: a service whose instance is not closed after a while says again what it has said, with all
 * it knows. Whoever missed something goes on; whoever knows it all changes nothing; an arbiter that has closed says so again.
 */
import type { Timestamp } from "../../Timestamp.ts";
import { type Send, stateOf } from "../SagaState.ts";
import type { Projection } from "./Choreography.ts";
import { type Reaction, type Row, say } from "./Row.ts";

/** The name of its timer. */
export const WATCH_TIMER = "watch";

/** How long an instance may take until it is looked after, each time, in milliseconds: above nearly every run. */
export const WATCH_MS = 60_000;

/** Looks after it from now on. */
export const begin = <D, C>([row, send]: Reaction<D, C>, now: Timestamp): Reaction<D, C> =>
  row.watches > 0 || row.isClosed ? [row, send] : again([row, send], now);

const again = <D, C>([row, send]: Reaction<D, C>, now: Timestamp): Reaction<D, C> => {
  const watches = row.watches + 1;
  return [{ ...row, watches }, [...send, { _tag: "Schedule", name: WATCH_TIMER, token: String(watches), at: now + WATCH_MS }]];
};

export const end = <D, C>(row: Row<D>): Reaction<D, C> => [row, row.watches === 0 ? [] : [{ _tag: "Unschedule", name: WATCH_TIMER }]];

/** Its timer has fired. */
export const fired = <D, C>(projection: Projection<D, C>, row: Row<D>, token: string, now: Timestamp): Reaction<D, C> =>
  row.isClosed || token !== String(row.watches) ? [row, []] : again([row, announce(projection, row, now)], now);

/** Everything that a service has said and still stands for: of undos also those that were refused, which wait for a person. */
const announce = <D, C>(projection: Projection<D, C>, row: Row<D>, now: Timestamp): ReadonlyArray<Send<never>> => {
  const { protocol, isArbiter, owns } = projection;
  const { id, instance, request, aborted } = row;
  const send: Array<Send<never>> = [];
  if (instance !== null) {
    const { start: data, outcomes } = instance.data;
    send.push(say(projection, protocol.Started, { instance: id, data: protocol.encodeStart(data), outcomes }, now));
    if (aborted !== null && isArbiter) send.push(say(projection, protocol.Aborted, { instance: id, ...aborted, outcomes }, now));
    if (aborted === null && request !== null)
      send.push(say(projection, protocol.Requested, { instance: id, failure: request, outcomes }, now));
  }
  const steps = row.settled.filter((name) => owns.has(name));
  if (steps.length > 0) send.push(say(projection, protocol.Undone, { instance: id, steps }, now));
  for (const step of owns) {
    const isRefused = instance !== null && stateOf(instance, step).status === "undoRefused";
    if (isRefused) send.push(say(projection, protocol.UndoRefused, { instance: id, step }, now));
  }
  return send;
};
