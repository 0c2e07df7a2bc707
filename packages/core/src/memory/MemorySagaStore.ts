/** `SagaStore` on a `MemoryDatabase`. */
import { Effect, Layer } from "effect";
import { type SagaRecord, SagaStore } from "../ports/SagaStore.ts";
import * as FaultPoint from "./FaultPoint.ts";
import * as MemoryDatabase from "./MemoryDatabase.ts";
import * as MemoryState from "./MemoryState.ts";

export const layer: Layer.Layer<SagaStore, never, MemoryDatabase.CurrentDatabase> = Layer.effect(
  SagaStore,
  Effect.map(MemoryDatabase.CurrentDatabase, (database) => ({
    load: (saga, ids) =>
      FaultPoint.around("SagaStore.load", Effect.map(MemoryState.load(database, database.sagas, "SagaStore.load", saga, ids), recordsOf)),
    save: (records) =>
      FaultPoint.around("SagaStore.save", MemoryState.save(database, database.sagas, "SagaStore.save", records.map(rowOf))),
    find: (saga, ids) => FaultPoint.around("SagaStore.find", Effect.map(MemoryState.find(database.sagas, saga, ids), recordsOf)),
    count: (saga) =>
      FaultPoint.around(
        "SagaStore.count",
        Effect.sync(() => countsOf(database, saga)),
      ),
  })),
);

const rowOf = (record: SagaRecord) => ({ ...record, kind: record.saga });

const recordsOf = (rows: ReadonlyArray<MemoryDatabase.StateRow>): ReadonlyMap<string, SagaRecord> =>
  new Map(rows.map((row) => [row.id, recordOf(row)]));

const recordOf = (row: MemoryDatabase.StateRow): SagaRecord => ({
  saga: row.kind,
  version: row.version,
  id: row.id,
  status: row.status,
  revision: row.revision,
  state: MemoryState.valueOf(row.state),
});

const countsOf = (database: MemoryDatabase.Database, saga: string): ReadonlyMap<string, number> => {
  const counts = new Map<string, number>();
  for (const row of database.sagas.committed.values()) {
    if (row.kind === saga) counts.set(row.status, (counts.get(row.status) ?? 0) + 1);
  }
  return counts;
};
