/**
 * What saga instances and documents have in common: one row a key, an optimistic revision, a state that is JSON. A batch is
 * one statement for those that begin, and one for those that go on.
 */
import type { StoreError, Transaction } from "@org/saga-core";
import { Effect } from "effect";
import { PgClient } from "./PgClient.ts";
import type { PgValue } from "./PgDriver.ts";
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
  readonly create: string;
  readonly change: string;
}

/** Two statements for a write, one after the other, and no `with`: that would keep each state twice (measured: a third of its cost). */
export const statements = (tables: string, table: StateTable): Statements => {
  const target = `${tables}${table.name}`;
  const extra = table.more.map(([name]) => `${name}, `).join("");
  const read = `select ${table.kind}, id, ${extra}revision, state from ${target} where ${table.kind} = $1 and id = any($2::text[]) order by id`;
  const arrays = [
    "$1::text[]",
    "$2::text[]",
    "$3::int[]",
    PgText.arrayOf("$4"),
    ...table.more.map(([, type], n) => `$${n + 5}::${type}[]`),
  ];
  const columns = ["key_kind", "key_id", "new_revision", "new_state", ...table.more.map(([name]) => `new_${name}`)];
  const given = `unnest(${arrays.join(", ")}) as c(${columns.join(", ")})`;
  return {
    lock: `${read} for update`,
    read,
    create: `
insert into ${target} (${table.kind}, id, ${extra}revision, state)
select key_kind, key_id, ${table.more.map(([name]) => `new_${name}, `).join("")}new_revision, new_state::json from ${given} order by key_kind, key_id`,
    change: `
update ${target} t set ${table.more.map(([name]) => `${name} = c.new_${name}, `).join("")}revision = c.new_revision,
  state = c.new_state::json, updated_at = now()
from ${given}
where t.id = any($2::text[]) and ${PgText.equal(`t.${table.kind}`, "c.key_kind")} and ${PgText.equal("t.id", "c.key_id")}
  and t.revision = c.new_revision - 1`,
  };
};

export const save = Effect.fnUntraced(function* (
  client: PgClient["Service"],
  operation: string,
  sql: Statements,
  records: ReadonlyArray<StateRecord>,
): Effect.fn.Return<void, StoreError, Transaction> {
  const transaction = yield* PgTransaction.current(client.driver, operation);
  const created: Array<Written> = [];
  const changed: Array<Written> = [];
  for (const record of records) {
    const text = PgText.textOf(record.state);
    if (text === undefined) {
      return yield* PgTransaction.doom(transaction, PgTransaction.failure("Refused", operation, "the state is not a JSON value"));
    }
    (record.revision === 1 ? created : changed).push({ record, text });
  }
  const write = (statement: string, written: ReadonlyArray<Written>) =>
    written.length === 0 ? Effect.succeed({ count: 0 }) : client.within(operation, statement, valuesOf(written));
  // Together: they share a round trip.
  const [, { count }] = yield* Effect.all([write(sql.create, created), write(sql.change, changed)], { concurrency: "unbounded" });
  if (count !== changed.length) {
    const text = `${changed.length - count} of ${changed.length} were changed by somebody else`;
    return yield* PgTransaction.doom(transaction, PgTransaction.failure("Contention", operation, text));
  }
});

interface Written {
  readonly record: StateRecord;
  readonly text: string;
}

const valuesOf = (written: ReadonlyArray<Written>): ReadonlyArray<PgValue> => {
  const width = written[0]?.record.more.length ?? 0;
  return [
    written.map(({ record }) => record.kind),
    written.map(({ record }) => record.id),
    written.map(({ record }) => record.revision),
    PgText.listOf(written.map(({ text }) => text)),
    ...Array.from({ length: width }, (_, index) => written.map(({ record }) => record.more[index] ?? null)),
  ];
};
