/**
 * How a transaction ended whose answer to COMMIT was lost. Every one inserts a row with an id of its own first; afterwards
 * whoever wants to know inserts the same id as a fence:
 *
 *   the original is still running  → the insert waits for its end (the primary key), at most `lock_timeout`
 *   it was committed               → its row is there: `Committed`
 *   it was not                     → the fence is there now, and the original never can be: `Absent`
 *
 * 1. Rows survive what ids of transactions do not: a restart, a crash, a failover to a standby that had to acknowledge.
 * 2. A fence is told from a row, so asking twice, or two who ask, get the same answer; the answer to a question may be lost, too.
 * 3. The question writes in either case: its own commit comes later in the log than the original's, so on a server with a
 *    synchronous standby what it answers is replicated as well.
 * 4. Rows are forgotten after `RETENTION`; nobody gets an answer about one that is older than `ANSWERED_FOR`. Both by the
 *    server's clock: the clocks of processes do not matter.
 *
 * See docs/decisions/0006-unknown-commit.md.
 */
import { randomUUID } from "node:crypto";
import type { StoreError, Timestamp } from "@org/saga-core";
import { Duration, Effect } from "effect";
import type { PgClient } from "./PgClient.ts";
import { CLOCK, NOW } from "./PgDriver.ts";
import * as PgSweep from "./PgSweep.ts";
import * as PgTime from "./PgTime.ts";

/** `TooLate`: the row may have been forgotten, or the transaction's age cannot be told any more. */
export type Verdict = "Committed" | "Absent" | "TooLate";

/** How long rows are kept. Far above any transaction and its `settleTimeout` together. */
export const RETENTION = Duration.hours(1);

/** Up to this age of a transaction the answer is trusted: the other half of `RETENTION` is for clocks of servers that fail over. */
export const ANSWERED_FOR = Duration.minutes(30);

/** Rest between two sweeps: at a thousand transactions a second one sweep deletes 60,000 small rows. */
const SWEEP_EVERY = Duration.minutes(1);

/** UUIDv7: the time first, so that neighbours in time share index pages. Its 74 random bits are the system's, never a seed's. */
export const nextId = (): string => {
  const time = Date.now().toString(16).padStart(12, "0");
  return `${time.slice(0, 8)}-${time.slice(8)}-7${randomUUID().slice(15)}`;
};

/** First statement of a transaction. Goes in one message with BEGIN, which takes no values; the id is `nextId`'s. */
export const insert = (client: PgClient["Service"], id: string): string =>
  `insert into ${client.tables}batches (id) values ('${id}') returning ${NOW}`;

/** `do update`, not `do nothing`: it returns the row that it waited for, and it writes (3). */
const question = (tables: string): string => `
insert into ${tables}batches as b (id, fenced)
select $1::uuid, true where now() < ${PgTime.moment("$2::float8")} + $3::float8 * interval '1 millisecond'
on conflict (id) do update set fenced = b.fenced
returning b.fenced`;

/** How the transaction ended that began at `begunAt` by the server's clock. Fails if the original is still running, or nobody answers. */
export const ask = (client: PgClient["Service"], operation: string, id: string, begunAt: Timestamp): Effect.Effect<Verdict, StoreError> =>
  Effect.map(
    client.query<{ readonly fenced: boolean }>(operation, question(client.tables), [id, begunAt, Duration.toMillis(ANSWERED_FOR)]),
    ({ rows: [row] }) => (row === undefined ? "TooLate" : row.fenced ? "Absent" : "Committed"),
  );

/** Forgets rows past `RETENTION`; returns how many. */
export const sweep = Effect.fnUntraced(function* (client: PgClient["Service"]): Effect.fn.Return<number, StoreError> {
  const { rows } = yield* client.query<{ readonly now: Timestamp }>(SWEEP, CLOCK);
  const [row] = rows;
  return row === undefined ? 0 : yield* PgSweep.make(client, SWEEP, "batches", "begun_at")(row.now - Duration.toMillis(RETENTION));
});

const SWEEP = "PgBatches.sweep";

/** Sweeps for as long as it is not interrupted. Many processes may: none waits for another, and a failure is the next sweep's. */
export const sweeping = (client: PgClient["Service"]): Effect.Effect<never> =>
  Effect.sleep(SWEEP_EVERY).pipe(
    Effect.andThen(sweep(client)),
    Effect.catch((error) => Effect.logWarning(`transactions of the past are not forgotten: ${error.message}`)),
    Effect.forever,
  );
