/** `SagaStore` on PostgreSQL: one row an instance; name, version and status are columns, for queries. */
import { type SagaRecord, SagaStore } from "@org/saga-core";
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
    return {
      load: (saga, ids) => Effect.map(client.within<SagaRecord>("SagaStore.load", sql.lock, [saga, ids]), ({ rows }) => byId(rows)),
      save: (records) => PgState.save(client, "SagaStore.save", sql.write, records.map(stateOf)),
      find: (saga, ids) => Effect.map(client.query<SagaRecord>("SagaStore.find", sql.read, [saga, ids]), ({ rows }) => byId(rows)),
      count: Effect.fnUntraced(function* (saga: string) {
        const { rows } = yield* client.query<{ readonly status: string; readonly count: number }>("SagaStore.count", COUNT, [saga]);
        return new Map(rows.map((row) => [row.status, row.count]));
      }),
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
