/** Who decides, once for ever: is the saga aborted, or is it too late? Everyone else asks. */
import type { Timestamp } from "../../Timestamp.ts";
import * as SagaDecider from "../SagaDecider.ts";
import type { Failure } from "../SagaDefinition.ts";
import { isPivoted } from "../SagaState.ts";
import type { Projection } from "./Choreography.ts";
import { type Aborted, follow, type Reaction, type Row, say } from "./Row.ts";
import * as Undoing from "./Undoing.ts";

/** Asks the arbiter, or is it. `isSure`: an own failure, after which there is no way on. */
export const ask = <D, C>(projection: Projection<D, C>, row: Row<D>, failure: Failure, now: Timestamp, isSure = false): Reaction<D, C> => {
  const { instance } = row;
  if (instance === null || row.aborted !== null || row.isClosed) return [row, []];
  if (projection.isArbiter) return isSure ? abort(projection, row, failure, now) : consider(projection, row, failure, now);
  const { outcomes } = instance.data;
  return [{ ...row, request: failure }, [say(projection, projection.protocol.Requested, { instance: row.id, failure, outcomes }, now)]];
};

/** The one decision: nothing before the pivot turns a saga around whose pivot was asked for. */
export const consider = <D, C>(projection: Projection<D, C>, row: Row<D>, failure: Failure, now: Timestamp): Reaction<D, C> => {
  const { definition, whole } = projection;
  if (row.instance === null) return [{ ...row, request: failure }, []];
  const isAfter = whole.steps.find(({ name }) => name === failure.step)?.kind === "retriable";
  const isOpen = isAfter ? row.instance.status === "running" : SagaDecider.canCancel(definition, row.instance);
  return isOpen && row.aborted === null ? abort(projection, row, failure, now) : [row, []];
};

const abort = <D, C>(projection: Projection<D, C>, row: Row<D>, failure: Failure, now: Timestamp): Reaction<D, C> => {
  const { definition, protocol } = projection;
  if (row.instance === null) return [row, []];
  const aborted: Aborted = { failure, pivoted: isPivoted(definition, row.instance) };
  const { outcomes } = row.instance.data;
  const told = say(projection, protocol.Aborted, { instance: row.id, ...aborted, outcomes }, now);
  return follow([row, [told]], (next) => Undoing.begin(projection, next, aborted, {}, now));
};

/** The arbiter hears of every step: when all are done, it closes. */
export const complete = <D, C>(projection: Projection<D, C>, row: Row<D>, now: Timestamp): Reaction<D, C> => {
  if (!projection.isArbiter || row.isClosed || row.instance?.status !== "completed") return [row, []];
  const told = say(projection, projection.protocol.Closed, { instance: row.id, failure: null, pivoted: true }, now);
  return follow([row, [told]], (next) => Undoing.end(projection, next, null, true));
};
