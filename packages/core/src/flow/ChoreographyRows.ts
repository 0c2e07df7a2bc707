/**
 * How a service's rows of a choreographed saga are kept: by `SagaStore`, in its own schema, one a instance.
 *
 * Versions: a row is decided about to its end by the version that its instance began in. What belongs to a version that is not
 * listed is left alone, and so is an instance that a coordinator began.
 */
import { Effect, Result, Schema } from "effect";
import type * as Message from "../domain/Message.ts";
import type { Projection } from "../domain/saga/choreography/Choreography.ts";
import * as Known from "../domain/saga/choreography/Known.ts";
import * as Row from "../domain/saga/choreography/Row.ts";
import type { Status } from "../domain/saga/SagaDecider.ts";
import * as SagaInstance from "../domain/saga/SagaInstance.ts";
import { type SagaRecord, SagaStore } from "../ports/SagaStore.ts";
import type { Input } from "./Aggregate.ts";
import * as Batch from "./Batch.ts";

/** A row, the version that it is of, and the revision it was loaded with; 0: never saved. */
export interface Kept<D> {
  readonly row: Row.Row<D> | null;
  readonly version: number | null;
  readonly revision: number;
}

export const NOTHING: Kept<never> = { row: null, version: null, revision: 0 };

/** And who decides about it. */
interface Found<D, C> {
  readonly kept: Kept<D>;
  readonly projection: Projection<D, C>;
}

interface Changed<D> {
  readonly key: string;
  readonly before: Kept<D>;
  readonly after: Kept<D>;
}

/** New instances begin in `newest`. Throws where two are no versions of one service's part. */
export const make = <D, C>(newest: Projection<D, C>, older: ReadonlyArray<Projection<D, C>> = []) => {
  const { name } = newest.definition;
  const versions = new Map([[newest.definition.version, versionOf(newest)]]);
  for (const each of older) {
    const problem = problemOf(newest, each, versions.has(each.definition.version));
    if (problem !== null) throw new Error(`${name} of ${newest.service}: version ${each.definition.version} of ${each.service} ${problem}`);
    versions.set(each.definition.version, versionOf(each));
  }
  const versionNamed = (version: number, what: string): Version<D, C> => {
    const found = versions.get(version);
    if (found === undefined) throw Batch.leftAlone(name, what, version);
    return found;
  };
  /** Null: it is of no saga, or of another one. */
  const toldBy = ({ saga, type }: Message.Envelope): Version<D, C> | null =>
    saga?.startsWith(`${name}@`) === true ? versionNamed(Number(saga.slice(name.length + 1)), type) : null;
  const recordOf = ({ key, before, after: { row, version } }: Changed<D>): ReadonlyArray<SagaRecord> => {
    if (row === null || version === null || row === before.row) return [];
    const state = versionNamed(version, `instance "${key}"`).encode(row);
    return [{ saga: name, version, id: key, status: statusOf(row), revision: before.revision + 1, state }];
  };
  /** Fails with `LeftAlone` where it is not this process's to read. */
  const readOf = ({ id, version, revision, state }: SagaRecord): Result.Result<Found<D, C>, Batch.LeftAlone> => {
    if (!Row.isStored(state)) return Result.fail(new Batch.LeftAlone({ mailbox: name, detail: `the instance "${id}" has a coordinator` }));
    const found = versions.get(version);
    if (found === undefined) return Result.fail(Batch.leftAlone(name, `instance "${id}"`, version));
    return Result.succeed({ kept: { row: found.decode(state), version, revision }, projection: found.projection });
  };
  return {
    load: Effect.fnUntraced(function* (keys: ReadonlyArray<string>) {
      const sagas = yield* SagaStore;
      const rows = new Map<string, Kept<D>>();
      for (const [id, record] of yield* sagas.load(name, keys)) {
        const read = readOf(record);
        if (Result.isFailure(read)) return yield* Effect.die(read.failure);
        rows.set(id, read.success.kept);
      }
      return rows;
    }),
    /** As it is committed, without a lock. Null: there is none. */
    find: Effect.fnUntraced(function* (id: string) {
      const sagas = yield* SagaStore;
      const record = (yield* sagas.find(name, [id])).get(id);
      if (record === undefined) return null;
      const read = readOf(record);
      return Result.isSuccess(read) ? read.success : yield* Effect.fail(read.failure);
    }),
    save: Effect.fnUntraced(function* (changes: ReadonlyArray<Changed<D>>) {
      const sagas = yield* SagaStore;
      yield* sagas.save(changes.flatMap(recordOf));
    }),
    /** Who decides about it. A message of a version that is not listed is left alone. */
    projectionFor: ({ row, version }: Kept<D>, input: Input<unknown>): Projection<D, C> => {
      const told = input._tag === "Message" ? toldBy(input.envelope) : null;
      const kept = version === null ? null : versionNamed(version, "the instance");
      // What was heard before the start is of no version yet.
      const isPinned = row !== null && (row.instance !== null || row.aborted !== null);
      return ((isPinned ? kept : (told ?? kept)) ?? versionNamed(newest.definition.version, "the newest")).projection;
    },
  };
};

interface Version<D, C> {
  readonly projection: Projection<D, C>;
  readonly decode: (state: unknown) => Row.Row<D>;
  readonly encode: (row: Row.Row<D>) => unknown;
}

const versionOf = <D, C>(projection: Projection<D, C>): Version<D, C> => {
  const json = Schema.toCodecJson(Row.schemaOf(SagaInstance.schemaOf(Known.schemaOf(projection.whole.data))));
  return { projection, decode: Schema.decodeUnknownSync(json), encode: Schema.encodeSync(json) };
};

/** It is over when the arbiter says so: until then a service that has done its part may have to undo it. */
export const statusOf = <D>({ instance, isClosed }: Row.Row<D>): Status => {
  if (instance === null) return isClosed ? "compensated" : "running";
  return instance.status === "completed" && !isClosed ? "running" : instance.status;
};

const problemOf = <D, C>(newest: Projection<D, C>, older: Projection<D, C>, isListed: boolean): string | null => {
  if (isListed) return "is listed twice: give each version a number of its own";
  if (older.definition.name !== newest.definition.name || older.service !== newest.service)
    return "is no version of it: list the projections of one service and saga";
  return older.definition.version > newest.definition.version ? "is not older: put the newest first" : null;
};
