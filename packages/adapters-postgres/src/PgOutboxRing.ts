/**
 * The outbox is a ring of partitions, a half day each: the slot of a row is the number of its half day, modulo 8. What is past
 * its retention is forgotten a partition at a time, by TRUNCATE, before the ring comes around to it. Nothing is created in
 * advance, nothing runs out: when the ring comes around to a partition that could not be emptied, it is simply used on.
 *
 *   … │ past the retention │ kept │ kept │ now │ empty │ …
 *        └ TRUNCATE, if all of it is sent; else its sent rows are deleted in steps
 *
 * TRUNCATE needs the partition for itself, and relays read all of them. So it waits for a moment only, and comes again: no
 * append and no claim waits longer than that for it.
 */
import { type StoreError, StoreError as Failure, type Timestamp } from "@org/saga-core";
import { Duration, Effect, Exit } from "effect";
import { attempt, type PgClient } from "./PgClient.ts";
import * as PgTime from "./PgTime.ts";
import { begin } from "./PgUnitOfWork.ts";

/** Partitions, and the time of one in milliseconds, as in the migration. A retention of up to three days is dropped, not deleted. */
export const SLOTS = 8;
export const PERIOD_MS = 43_200_000;

/** How long TRUNCATE waits for a partition, in milliseconds: what an append or a claim may have to wait behind it. */
const LOCK_TIMEOUT_MS = 50;
/** How often it asks in one sweep, and the rest between; then the next sweep asks. */
const TRIES = 5;
const TRY_AGAIN = Duration.millis(200);

/** Rows that one step looks at: some ten milliseconds, far below the statement timeout. */
const STEP_MAX = 5_000;

/** Up to here forgotten rows are counted; above, the planner's estimate is told. */
const COUNTED_MAX = 100_000;

const OPERATION = "Outbox.sweep";

type Client = PgClient["Service"];

/** Forgets what is sent and was appended in a period that ended before `before`; returns how many. */
export const sweep = Effect.fnUntraced(function* (client: Client, before: Timestamp): Effect.fn.Return<number, StoreError> {
  const limit = Math.floor(before / PERIOD_MS) * PERIOD_MS;
  let forgotten = 0;
  for (let slot = 0; slot < SLOTS; slot += 1) forgotten += yield* sweepSlot(client, slot, limit);
  return forgotten;
});

/** What is to be done with a partition. */
interface Facts {
  /** Is it past the limit, all of it sent, and not the one that is written to? */
  readonly droppable: boolean;
  /** Has it anything past the limit? */
  readonly old: boolean;
}

/** By the ends of the primary key and of the partial indexes: a few probes, whatever is in it. */
const factsOf = (tables: string, slot: number): string => {
  const end = (direction: "asc" | "desc") =>
    `(select created_at from ${tables}outbox_${slot} where slot = ${slot} order by seq ${direction} limit 1)`;
  const limit = PgTime.moment("$1::float8");
  const one = (condition: string, order: string) =>
    `exists (select from ${tables}outbox_${slot} where ${condition} order by ${order} limit 1)`;
  return `
select coalesce(${end("asc")} < ${limit}, false) as old,
  coalesce(${end("desc")} < ${limit}, false) and ${slot} <> ${SLOT_NOW}
    and not ${one("sent_at is null and parked_at is null", "shard, seq")}
    and not ${one("parked_at is not null and parked_as is distinct from 'held'", "shard, topic, aggregateid, seq")}
    and not ${one("parked_as = 'held'", "shard, topic, aggregateid, seq")} as droppable`;
};

const SLOT_NOW = `floor(extract(epoch from now()) / ${PERIOD_MS / 1000})::bigint % ${SLOTS}`;

const sweepSlot = Effect.fnUntraced(function* (client: Client, slot: number, limit: Timestamp): Effect.fn.Return<number, StoreError> {
  const { rows } = yield* client.query<Facts>(OPERATION, factsOf(client.tables, slot), [limit]);
  const [facts] = rows;
  if (facts?.old !== true) return 0;
  if (!facts.droppable) return yield* deleteSent(client, slot, limit);
  for (let tries = 1; ; tries += 1) {
    const truncated = yield* Effect.exit(truncate(client, slot, limit));
    if (Exit.isSuccess(truncated)) return truncated.value;
    const error = failureOf(truncated);
    if (error?.reason !== "Contention") return yield* truncated;
    if (tries === TRIES) {
      yield* Effect.logDebug(`outbox: partition ${slot} is past its retention and in use; the next sweep empties it`);
      return 0;
    }
    yield* Effect.sleep(TRY_AGAIN);
  }
});

const failureOf = (exit: Exit.Exit<number, StoreError>): StoreError | null => {
  const error = Exit.isFailure(exit) ? exit.cause.reasons.find((reason) => reason._tag === "Fail")?.error : undefined;
  return error instanceof Failure ? error : null;
};

/** Empties the partition, if it still may be emptied once nobody else has it. */
const truncate = (client: Client, slot: number, limit: Timestamp): Effect.Effect<number, StoreError> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      const table = `${client.tables}outbox_${slot}`;
      const { rows: sizes } = yield* client.query<{ readonly size: number }>(OPERATION, sizeOf(table), []);
      const session = yield* begin(client.driver, OPERATION, restore);
      const exit = yield* Effect.exit(
        Effect.gen(function* () {
          yield* attempt(OPERATION, () =>
            session.script(`set local lock_timeout = ${LOCK_TIMEOUT_MS}; lock table ${table} in access exclusive mode`),
          );
          const { rows } = yield* attempt(OPERATION, () => session.query<Facts>(factsOf(client.tables, slot), [limit]));
          if (rows[0]?.droppable !== true) return 0;
          yield* attempt(OPERATION, () => session.script(`truncate ${table}`));
          return sizes[0]?.size ?? 0;
        }),
      );
      if (Exit.isFailure(exit)) {
        yield* Effect.promise(() => session.rollback());
        return yield* exit;
      }
      yield* attempt(OPERATION, () => session.commit());
      return exit.value;
    }),
  );

/** Counted before the partition is taken: meanwhile nothing comes to it. */
const sizeOf = (table: string): string => `
select greatest((select count(*) from (select from ${table} limit ${COUNTED_MAX}) counted),
  (select reltuples from pg_class where oid = '${table}'::regclass))::float8 as size`;

/** A window of rows, in seq order: those of it that are sent and past the limit are deleted. */
const stepOf = (table: string, slot: number): string => {
  const limit = PgTime.moment("$2::float8");
  return `
with seen as materialized (
  select seq, created_at, sent_at from ${table} where slot = ${slot} and seq > $1::bigint order by seq limit ${STEP_MAX}
), gone as (
  delete from ${table} where slot = ${slot} and seq in (select seq from seen where sent_at is not null and created_at < ${limit}) returning 1
)
select (select count(*) from gone)::float8 as forgotten, (select max(seq) from seen)::float8 as last,
  (select count(*) from seen) = ${STEP_MAX} and (select created_at from seen order by seq desc limit 1) < ${limit} as more`;
};

interface Step {
  readonly forgotten: number;
  readonly last: number | null;
  readonly more: boolean;
}

/** For a partition that cannot be emptied as a whole: in steps, so that no statement takes long. */
const deleteSent = Effect.fnUntraced(function* (client: Client, slot: number, limit: Timestamp): Effect.fn.Return<number, StoreError> {
  const step = stepOf(`${client.tables}outbox_${slot}`, slot);
  let forgotten = 0;
  let last = 0;
  for (;;) {
    const { rows } = yield* client.query<Step>(OPERATION, step, [last, limit]);
    const [done] = rows;
    if (done === undefined) return forgotten;
    forgotten += done.forgotten;
    if (!done.more || done.last === null) return forgotten;
    last = done.last;
  }
});
