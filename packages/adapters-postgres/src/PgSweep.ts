/**
 * Forgetting what is past its retention, in steps: however much there is, no statement takes long, no lock is held for
 * long, and what was deleted stays deleted if a later step fails. Rows that somebody holds are left for the next sweep.
 */
import type { StoreError, Timestamp } from "@org/saga-core";
import { Effect } from "effect";
import type { PgClient } from "./PgClient.ts";
import * as PgTime from "./PgTime.ts";

/** Rows of one statement: some ten milliseconds, far below the statement timeout. */
export const SWEEP_MAX = 5_000;

/** Deletes the rows of `table` whose `column` is before a time; returns how many. */
export const make = (client: PgClient["Service"], operation: string, table: string, column: string) => {
  const target = `${client.tables}${table}`;
  const statement = `
delete from ${target} where ctid = any(array(
  select ctid from ${target} where ${column} < ${PgTime.moment("$1::float8")} limit ${SWEEP_MAX} for update skip locked))`;
  return Effect.fnUntraced(function* (before: Timestamp): Effect.fn.Return<number, StoreError> {
    let swept = 0;
    for (;;) {
      const { count } = yield* client.query(operation, statement, [before]);
      swept += count;
      if (count < SWEEP_MAX) return swept;
    }
  });
};
