/**
 * What documents and saga instances have in common in memory: a row a key, an optimistic revision, a state that is JSON.
 */
import { Effect } from "effect";
import type { StoreError } from "../ports/StoreError.ts";
import type { Transaction } from "../ports/UnitOfWork.ts";
import * as MemoryDatabase from "./MemoryDatabase.ts";
import { keyOf, type MemoryTable } from "./MemoryTable.ts";

/** The rows of `ids` as the open transaction sees them, in key order. */
export const load = Effect.fnUntraced(function* (
  database: MemoryDatabase.Database,
  table: MemoryTable<string, MemoryDatabase.StateRow>,
  operation: string,
  kind: string,
  ids: ReadonlyArray<string>,
): Effect.fn.Return<ReadonlyArray<MemoryDatabase.StateRow>, StoreError, Transaction> {
  yield* MemoryDatabase.current(database, operation);
  return present(ids, (id) => table.get(keyOf(kind, id)));
});

/** The committed rows of `ids`, in key order. */
export const find = (
  table: MemoryTable<string, MemoryDatabase.StateRow>,
  kind: string,
  ids: ReadonlyArray<string>,
): Effect.Effect<ReadonlyArray<MemoryDatabase.StateRow>> => Effect.sync(() => present(ids, (id) => table.committed.get(keyOf(kind, id))));

/** Writes rows whose revision follows the one that is there. */
export const save = Effect.fnUntraced(function* (
  database: MemoryDatabase.Database,
  table: MemoryTable<string, MemoryDatabase.StateRow>,
  operation: string,
  rows: ReadonlyArray<Omit<MemoryDatabase.StateRow, "state"> & { readonly state: unknown }>,
): Effect.fn.Return<void, StoreError, Transaction> {
  const transaction = yield* MemoryDatabase.current(database, operation);
  for (const row of rows) {
    const key = keyOf(row.kind, row.id);
    const revision = table.get(key)?.revision ?? 0;
    if (row.revision !== revision + 1) {
      const lost = MemoryDatabase.failure("Contention", operation, `revision ${row.revision} does not follow ${revision}`);
      return yield* MemoryDatabase.doom(transaction, lost);
    }
    const state = textOf(row.state);
    if (state === undefined) {
      return yield* MemoryDatabase.doom(transaction, MemoryDatabase.failure("Refused", operation, "the state is not a JSON value"));
    }
    const { kind, id, version, status } = row;
    table.put(key, { kind, id, version, status, revision: row.revision, state });
  }
});

/** JSON text of a value, or undefined if it has none (a function, a cycle, a bigint). */
export const textOf = (value: unknown): string | undefined => {
  try {
    return JSON.stringify(value);
  } catch {
    return undefined;
  }
};

/** The value of a text that `textOf` made. */
export const valueOf = (text: string): unknown => JSON.parse(text);

const present = (
  ids: ReadonlyArray<string>,
  get: (id: string) => MemoryDatabase.StateRow | undefined,
): ReadonlyArray<MemoryDatabase.StateRow> =>
  [...new Set(ids)].toSorted().flatMap((id) => {
    const row = get(id);
    return row === undefined ? [] : [row];
  });
