/**
 * The outbox is a ring of partitions, a half day each: the slot of a row is the number of its half day, modulo 8. What is past
 * its retention is forgotten a partition at a time, by TRUNCATE, before the ring comes around to it. Nothing is created in
 * advance, nothing runs out: when the ring comes around to a partition that could not be emptied, it is simply used on.
 *
 *   … │ past the retention │ kept │ kept │ now │ empty │ …
 *        └ TRUNCATE; what is not sent yet moves along to now
 *
 * TRUNCATE needs the partition for itself, and relays read all of them. So it waits for a moment only, and comes again; once it
 * has it, claims wait until what is not sent has moved: nearly always nothing has to.
 */
import { OUTBOX_KEPT_MAX_MS, type StoreError, StoreError as Failure, type Timestamp } from "@org/saga-core";
import { Duration, Effect, Exit } from "effect";
import { attempt, type PgClient } from "./PgClient.ts";
import { NOT_SENT } from "./PgOutboxSql.ts";
import { begin } from "./PgUnitOfWork.ts";

/** Partitions, and the time of one in milliseconds, as in the migration: what is kept longest ends a half day before it is needed again. */
export const SLOTS = 8;
export const PERIOD_MS = OUTBOX_KEPT_MAX_MS / (SLOTS - 2);

/** How long TRUNCATE waits for a partition, in milliseconds: what a claim may have to wait behind it before it begins. */
const LOCK_TIMEOUT_MS = 50;
/** How often it asks in one sweep, and the rest between; then the next sweep asks. */
const TRIES = 5;
const TRY_AGAIN = Duration.millis(200);

/** So many move along, in a quarter of a second at most; a partition that holds more of what is not sent is left as it is. */
const MOVED_MAX = 10_000;

/** Up to here forgotten rows are counted; above, the planner's estimate is told. */
const COUNTED_MAX = 100_000;

const OPERATION = "Outbox.sweep";

type Client = PgClient["Service"];

/** Forgets what is sent and was appended in a period that ended before `before`; returns how many. */
export const sweep = Effect.fnUntraced(function* (client: Client, before: Timestamp): Effect.fn.Return<number, StoreError> {
  const { rows } = yield* client.query<{ readonly now: number }>(OPERATION, NOW, []);
  const now = rows[0]?.now ?? 0;
  let forgotten = 0;
  for (let slot = 0; slot < SLOTS; slot += 1) {
    if (endOf(slot, now) <= before) forgotten += yield* sweepSlot(client, slot, slotAt(slot === slotAt(now) ? now + 1 : now));
  }
  return forgotten;
});

/** Periods since 1970: nobody writes to a slot but in its periods. */
const NOW = `select floor(extract(epoch from now()) / ${PERIOD_MS / 1_000})::float8 as now`;
const slotAt = (period: number): number => period % SLOTS;

/** When the slot's last period ends, or has ended. */
const endOf = (slot: number, now: number): Timestamp => (now - ((slotAt(now) - slot + SLOTS) % SLOTS) + 1) * PERIOD_MS;

const sweepSlot = Effect.fnUntraced(function* (client: Client, slot: number, onto: number): Effect.fn.Return<number, StoreError> {
  const table = `${client.tables}outbox_${slot}`;
  const { rows } = yield* client.query<Size>(OPERATION, sizeOf(table), []);
  const size = rows[0]?.size ?? 0;
  if (size === 0) return 0;
  for (let tries = 1; ; tries += 1) {
    const emptied = yield* Effect.exit(empty(client, table, onto));
    if (Exit.isSuccess(emptied)) return Math.max(size - emptied.value, 0);
    const error = failureOf(emptied);
    if (error?.reason !== "Contention") return yield* emptied;
    if (tries === TRIES) {
      yield* Effect.logDebug(`outbox: partition ${slot} is past its retention and in use; the next sweep empties it`);
      return 0;
    }
    yield* Effect.sleep(TRY_AGAIN);
  }
});

const failureOf = (exit: Exit.Exit<unknown, StoreError>): StoreError | null => {
  const error = Exit.isFailure(exit) ? exit.cause.reasons.find((reason) => reason._tag === "Fail")?.error : undefined;
  return error instanceof Failure ? error : null;
};

/** Empties the partition, as soon as nobody else has it; returns how many of its rows were not forgotten: all, if too many have to move along. */
const empty = (client: Client, table: string, onto: number): Effect.Effect<number, StoreError> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      const session = yield* begin(client.driver, OPERATION, restore);
      const exit = yield* Effect.exit(
        Effect.gen(function* () {
          yield* attempt(OPERATION, () =>
            session.script(`set local lock_timeout = ${LOCK_TIMEOUT_MS}; lock table ${table} in access exclusive mode`),
          );
          const { rows } = yield* attempt(OPERATION, () => session.query<Size>(notSentOf(table), []));
          const staying = rows[0]?.size ?? 0;
          if (staying > MOVED_MAX) {
            yield* Effect.logWarning(
              `outbox: partition ${table} is past its retention, but more than ${MOVED_MAX} of it are not sent; it is kept`,
            );
            return Number.POSITIVE_INFINITY;
          }
          if (staying > 0) yield* attempt(OPERATION, () => session.query(moveTo(client.tables, table), [onto]));
          yield* attempt(OPERATION, () => session.script(`truncate ${table}`));
          return staying;
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

interface Size {
  readonly size: number;
}

/** Counted before the partition is taken: meanwhile nothing comes to it. */
const sizeOf = (table: string): string => `
select greatest((select count(*) from (select from ${table} limit ${COUNTED_MAX}) counted),
  (select reltuples from pg_class where oid = '${table}'::regclass and exists (select from ${table})))::float8 as size`;

/** By the partial indexes, whatever else is in the partition. */
const notSentOf = (table: string): string =>
  `select (${NOT_SENT.map((one) => `(select count(*) from (select from ${table} where ${one} limit ${MOVED_MAX + 1}) n)`).join(" + ")})::float8 as size`;

const COLUMNS = `seq, id, shard, aggregatetype, aggregateid, type, topic, payload, headers, occurred_at, correlation_id, causation_id, step_key, saga,
  traceparent, tracestate, created_at, parked_at, parked_as`;

/** Under their numbers: the order of a shard is that of `seq`, in whatever partition. */
const moveTo = (tables: string, table: string): string => `
insert into ${tables}outbox (slot, ${COLUMNS})
${NOT_SENT.map((one) => `select $1::int, ${COLUMNS} from ${table} where ${one}`).join("\nunion all\n")}`;
