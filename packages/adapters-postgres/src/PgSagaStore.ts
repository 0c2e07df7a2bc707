/** `SagaStore` on PostgreSQL: one row an instance; name, version and status are columns, for queries. */
import { type LiveCount, type SagaRecord, type SagaShapeRecord, SagaStore } from "@org/saga-core";
import { Effect, Layer } from "effect";
import { PgClient } from "./PgClient.ts";
import * as PgState from "./PgState.ts";

const TABLE: PgState.StateTable = {
  name: "sagas",
  kind: "saga",
  more: [
    ["version", "int"],
    ["status", "text"],
  ],
};

export const layer: Layer.Layer<SagaStore, never, PgClient> = Layer.effect(
  SagaStore,
  Effect.map(PgClient, (client) => {
    const sql = PgState.statements(client.tables, TABLE);
    const COUNT = `select status, count(*)::float8 as count from ${client.tables}sagas where saga = $1 group by status order by status`;
    // By the index (status, saga); live instances are few beside those that are over.
    const LIVE = `from ${client.tables}sagas where saga = $1 and status in ('running', 'compensating', 'compensationFailed')`;
    const COUNT_LIVE = `select version, count(*)::float8 as count ${LIVE} group by version order by version`;
    // Reads their states: for the start of a process, and for people.
    const COUNT_LIVE_BY = `select version, (state -> $2::text) is not null as has, count(*)::float8 as live ${LIVE} group by 1, 2 order by 1, 2`;
    // In key order, as all writers of several rows. The first process that runs a version says what it is.
    const KEEP_SHAPES = `
insert into ${client.tables}saga_versions (saga, version, fingerprint, shape)
select saga, version, fingerprint, shape::json
from unnest($1::text[], $2::int[], $3::text[], $4::text[]) as t(saga, version, fingerprint, shape) order by saga, version
on conflict do nothing`;
    const SHAPES = `
select saga, version, fingerprint, shape from ${client.tables}saga_versions
where saga = $1 or starts_with(saga, $1 || '/') order by saga collate "C", version`;
    return {
      load: (saga, ids) => Effect.map(client.within<SagaRecord>("SagaStore.load", sql.lock, [saga, ids]), ({ rows }) => byId(rows)),
      save: (records) => PgState.save(client, "SagaStore.save", sql, records.map(stateOf)),
      find: (saga, ids) => Effect.map(client.query<SagaRecord>("SagaStore.find", sql.read, [saga, ids]), ({ rows }) => byId(rows)),
      count: Effect.fnUntraced(function* (saga: string) {
        const { rows } = yield* client.query<{ readonly status: string; readonly count: number }>("SagaStore.count", COUNT, [saga]);
        return new Map(rows.map((row) => [row.status, row.count]));
      }),
      countLive: Effect.fnUntraced(function* (saga: string) {
        const { rows } = yield* client.query<{ readonly version: number; readonly count: number }>("SagaStore.countLive", COUNT_LIVE, [
          saga,
        ]);
        return new Map(rows.map((row) => [row.version, row.count]));
      }),
      countLiveBy: (saga, member) =>
        Effect.map(client.query<LiveCount>("SagaStore.countLiveBy", COUNT_LIVE_BY, [saga, member]), ({ rows }) => rows),
      keepShapes: (shapes) =>
        Effect.asVoid(
          client.within("SagaStore.keepShapes", KEEP_SHAPES, [
            shapes.map((each) => each.saga),
            shapes.map((each) => each.version),
            shapes.map((each) => each.fingerprint),
            shapes.map((each) => JSON.stringify(each.shape)),
          ]),
        ),
      shapes: (saga) => Effect.map(client.query<SagaShapeRecord>("SagaStore.shapes", SHAPES, [saga]), ({ rows }) => rows),
    };
  }),
);

const byId = (rows: ReadonlyArray<SagaRecord>): ReadonlyMap<string, SagaRecord> => new Map(rows.map((row) => [row.id, row]));

const stateOf = ({ saga, version, id, status, revision, state }: SagaRecord): PgState.StateRecord => ({
  kind: saga,
  id,
  revision,
  state,
  more: [version, status],
});
