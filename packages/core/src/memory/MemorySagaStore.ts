/** `SagaStore` on a `MemoryDatabase`. */
import { Effect, Layer, Predicate } from "effect";
import { type SagaRecord, SagaStore } from "../ports/SagaStore.ts";
import * as FaultPoint from "./FaultPoint.ts";
import * as MemoryDatabase from "./MemoryDatabase.ts";
import * as MemoryState from "./MemoryState.ts";
import { keyOf } from "./MemoryTable.ts";

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
        Effect.sync(() => countsOf(database, saga, ({ status }) => status)),
      ),
    countLive: (saga) =>
      FaultPoint.around(
        "SagaStore.countLive",
        Effect.sync(() => countsOf(database, saga, ({ status, version }) => (isOver(status) ? null : version))),
      ),
    countLiveBy: (saga, member) =>
      FaultPoint.around(
        "SagaStore.countLiveBy",
        Effect.sync(() =>
          [true, false].flatMap((has) => {
            const counts = countsOf(database, saga, ({ status, version, state }) =>
              isOver(status) || Predicate.hasProperty(MemoryState.valueOf(state), member) !== has ? null : version,
            );
            return [...counts].map(([version, live]) => ({ version, has, live }));
          }),
        ),
      ),
    keepShapes: (shapes) =>
      FaultPoint.around(
        "SagaStore.keepShapes",
        Effect.map(MemoryDatabase.current(database, "SagaStore.keepShapes"), () => {
          for (const each of shapes) {
            const key = keyOf(each.saga, `${each.version}`);
            if (database.sagaShapes.get(key) === undefined) database.sagaShapes.put(key, each);
          }
        }),
      ),
    shapes: (saga) =>
      FaultPoint.around(
        "SagaStore.shapes",
        Effect.sync(() =>
          [...database.sagaShapes.committed.values()]
            .filter((each) => each.saga === saga || each.saga.startsWith(`${saga}/`))
            .toSorted((a, b) => (a.saga === b.saga ? a.version - b.version : a.saga < b.saga ? -1 : 1)),
        ),
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

const isOver = (status: string): boolean => status === "completed" || status === "compensated";

const countsOf = <K>(
  database: MemoryDatabase.Database,
  saga: string,
  by: (row: MemoryDatabase.StateRow) => K | null,
): ReadonlyMap<K, number> => {
  const counts = new Map<K, number>();
  for (const row of database.sagas.committed.values()) {
    const key = row.kind === saga ? by(row) : null;
    if (key !== null) counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return counts;
};
