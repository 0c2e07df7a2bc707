/**
 * What saga instances and documents have in common: one row a key, an optimistic revision, a state that is JSON. A batch is
 * one statement.
 */
import type { StoreError, Transaction } from "@org/saga-core";
import { Effect } from "effect";
import { PgClient } from "./PgClient.ts";
import * as PgText from "./PgText.ts";
import * as PgTransaction from "./PgTransaction.ts";

export interface StateTable {
  readonly name: "sagas" | "documents";
  /** The column that is the first half of the key. */
  readonly kind: "saga" | "kind";
  /** Columns beside the state, in the order of `StateRecord.more`, with their types. */
  readonly more: ReadonlyArray<readonly [name: string, type: string]>;
}

export interface StateRecord {
  readonly kind: string;
  readonly id: string;
  readonly revision: number;
  readonly state: unknown;
  readonly more: ReadonlyArray<string | number>;
}

export interface Statements {
  readonly lock: string;
  readonly read: string;
  readonly write: string;
}

export const statements = (tables: string, table: StateTable): Statements => {
  const target = `${tables}${table.name}`;
  const extra = table.more.map(([name]) => `${name}, `).join("");
  const read = `select ${table.kind}, id, ${extra}revision, state from ${target} where ${table.kind} = $1 and id = any($2::text[]) order by id`;
  const arrays = ["$1::text[]", "$2::text[]", "$3::int[]", ...table.more.map(([, type], index) => `$${index + 5}::${type}[]`)];
  const columns = ["key_kind", "key_id", "new_revision", ...table.more.map(([name]) => `new_${name}`), "new_state"];
  return {
    lock: `${read} for update`,
    read,
    write: `
with change as (
  select * from rows from (unnest(${arrays.join(", ")}), jsonb_array_elements($4::jsonb)) as c(${columns.join(", ")})
), created as (
  insert into ${target} (${table.kind}, id, ${extra}revision, state)
  select key_kind, key_id, ${table.more.map(([name]) => `new_${name}, `).join("")}1, new_state
  from change where new_revision = 1 order by key_kind, key_id
), changed as (
  update ${target} t set ${table.more.map(([name]) => `${name} = c.new_${name}, `).join("")}revision = c.new_revision,
    state = c.new_state, updated_at = now()
  from change c where t.id = any($2::text[]) and t.${table.kind} = c.key_kind and t.id = c.key_id and c.new_revision > 1 and t.revision = c.new_revision - 1
  returning t.id
)
select (select count(*) from changed)::int as changed`,
  };
};

export const save = Effect.fnUntraced(function* (
  client: PgClient["Service"],
  operation: string,
  statement: string,
  records: ReadonlyArray<StateRecord>,
): Effect.fn.Return<void, StoreError, Transaction> {
  const transaction = yield* PgTransaction.current(client.driver, operation);
  if (records.length === 0) return;
  const states: Array<string> = [];
  for (const record of records) {
    const state = PgText.textOf(record.state);
    if (state === undefined) {
      return yield* PgTransaction.doom(transaction, PgTransaction.failure("Refused", operation, "the state is not a JSON value"));
    }
    states.push(state);
  }
  const width = records[0]?.more.length ?? 0;
  const more = Array.from({ length: width }, (_, index) => records.map((record) => record.more[index] ?? null));
  const { rows } = yield* client.within<{ readonly changed: number }>(operation, statement, [
    records.map((record) => record.kind),
    records.map((record) => record.id),
    records.map((record) => record.revision),
    PgText.listOf(states),
    ...more,
  ]);
  const expected = records.filter((record) => record.revision !== 1).length;
  const changed = rows[0]?.changed ?? 0;
  if (changed !== expected) {
    const text = `${expected - changed} of ${expected} were changed by somebody else`;
    return yield* PgTransaction.doom(transaction, PgTransaction.failure("Contention", operation, text));
  }
});
