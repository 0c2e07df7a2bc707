/**
 * `Outbox` on PostgreSQL. Rows have the columns of Debezium's outbox event router.
 *
 * 1. `seq` is assigned by the insert, after the transaction holds its keys' locks: the seq order of a key is its commit order.
 * 2. A shard has one owner: an advisory lock that ends with the owner's transaction, so also with its connection. It is taken
 *    in a statement of its own: only a later statement sees what the previous owner marked.
 * 3. Rows are marked only after the bus has them. An owner that dies in between publishes them again, in the same order.
 *
 * PGlite has one connection, so there the owner is a name in the process, and nothing is open while the bus works.
 */
import {
  type Message,
  Outbox,
  type DrainResult,
  OUTBOX_SHARDS,
  type BusError,
  type PublishVerdict,
  Shard,
  type StoreError,
  type Transaction,
} from "@org/saga-core";
import { Effect, Exit, Layer } from "effect";
import { PgClient, attempt } from "./PgClient.ts";
import type { PgResult, PgValue } from "./PgDriver.ts";
import * as PgSweep from "./PgSweep.ts";
import * as PgTime from "./PgTime.ts";
import * as PgTransaction from "./PgTransaction.ts";
import { begin } from "./PgUnitOfWork.ts";
import * as PgWakeup from "./PgWakeup.ts";

export const layer: Layer.Layer<Outbox, never, PgClient> = Layer.effect(
  Outbox,
  Effect.map(PgClient, (client) => {
    const sql = statements(client.tables);
    const wakeup = PgWakeup.make();
    const hasPending = Effect.map(
      client.query<{ readonly pending: boolean }>("Outbox.awaitPending", sql.hasPending),
      ({ rows }) => rows[0]?.pending === true,
    );
    return {
      append: (messages) => append(client, sql.append, wakeup, messages),
      pendingShards: Effect.map(client.query<{ readonly shard: number }>("Outbox.pendingShards", sql.pendingShards), ({ rows }) =>
        rows.map((row) => row.shard),
      ),
      drain: (shard, max, publish) => drain(client, sql, shard, max, publish),
      awaitPending: (atMost) => PgWakeup.wait(wakeup, hasPending, atMost),
      backlog: Effect.map(
        client.query<{ readonly pending: number; readonly oldest_at: number | null; readonly parked: number }>(
          "Outbox.backlog",
          sql.backlog,
        ),
        ({ rows }) => ({ pending: rows[0]?.pending ?? 0, oldestAt: rows[0]?.oldest_at ?? null, parked: rows[0]?.parked ?? 0 }),
      ),
      sweep: PgSweep.make(client, "Outbox.sweep", "outbox", "sent_at"),
    };
  }),
);

const PENDING = "sent_at is null and parked_at is null";

const statements = (tables: string) => ({
  append: `
insert into ${tables}outbox (id, shard, aggregatetype, aggregateid, type, topic, payload, occurred_at, correlation_id, causation_id,
  step_key, saga, traceparent, tracestate)
select id, shard, aggregatetype, aggregateid, type, topic, payload::jsonb, ${PgTime.moment("occurred_at")}, correlation_id, causation_id,
  step_key, saga, traceparent, tracestate
from unnest($1::uuid[], $2::int[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::float8[], $9::text[], $10::text[],
  $11::text[], $12::text[], $13::text[], $14::text[]) with ordinality
  as m(id, shard, aggregatetype, aggregateid, type, topic, payload, occurred_at, correlation_id, causation_id, step_key, saga,
  traceparent, tracestate, ordinal)
order by ordinal`,
  // One probe of the partial index a shard: flat, however many rows wait.
  pendingShards: `
select shard from generate_series(0, ${OUTBOX_SHARDS - 1}) as s(shard)
where exists (select from ${tables}outbox o where o.shard = s.shard and ${PENDING}) order by shard`,
  hasPending: `select exists (select from ${tables}outbox where ${PENDING}) as pending`,
  own: "select pg_try_advisory_xact_lock($1::int, $2::int) as owned",
  claim: `
select seq::float8 as seq, id, type, topic, aggregateid, ${PgTime.millis("occurred_at")} as occurred_at, correlation_id, causation_id,
  step_key, saga, traceparent, tracestate, payload::text as payload
from ${tables}outbox o where shard = $1 and ${PENDING} order by o.seq limit $2::int`,
  mark: `
update ${tables}outbox o set sent_at = case when m.published then clock_timestamp() end,
  parked_at = case when not m.published then clock_timestamp() end
from unnest($1::bigint[], $2::bool[]) as m(seq, published) where o.seq = m.seq`,
  backlog: `
select (select count(*) from ${tables}outbox where ${PENDING})::float8 as pending,
  (select ${PgTime.millis("min(occurred_at)")} from ${tables}outbox where ${PENDING}) as oldest_at,
  (select count(*) from ${tables}outbox where parked_at is not null)::float8 as parked`,
});

/** `order.created` is about an `order`. */
const aggregateOf = (topic: string): string => topic.split(".", 1)[0] ?? topic;

const append = Effect.fnUntraced(function* (
  client: PgClient["Service"],
  statement: string,
  wakeup: PgWakeup.Wakeup,
  messages: ReadonlyArray<Message.Encoded>,
): Effect.fn.Return<void, StoreError, Transaction> {
  const transaction = yield* PgTransaction.current(client.driver, "Outbox.append");
  if (messages.length === 0) return;
  yield* client.within("Outbox.append", statement, [
    messages.map((message) => message.id),
    messages.map((message) => Shard.of(message.key, OUTBOX_SHARDS)),
    messages.map((message) => aggregateOf(message.topic)),
    messages.map((message) => message.key),
    messages.map((message) => message.type),
    messages.map((message) => message.topic),
    messages.map((message) => message.payload),
    messages.map((message) => message.occurredAt),
    messages.map((message) => message.correlationId),
    messages.map((message) => message.causationId),
    messages.map((message) => message.stepKey),
    messages.map((message) => message.saga),
    messages.map((message) => message.traceparent),
    messages.map((message) => message.tracestate),
  ]);
  transaction.afterCommit.add(wakeup.kick);
});

interface OutboxRow {
  readonly seq: number;
  readonly id: string;
  readonly type: string;
  readonly topic: string;
  readonly aggregateid: string;
  readonly occurred_at: number;
  readonly correlation_id: string;
  readonly causation_id: string | null;
  readonly step_key: string | null;
  readonly saga: string | null;
  readonly traceparent: string | null;
  readonly tracestate: string | null;
  readonly payload: string;
}

const messageOf = (row: OutboxRow): Message.Encoded => ({
  id: row.id,
  type: row.type,
  topic: row.topic,
  key: row.aggregateid,
  occurredAt: row.occurred_at,
  correlationId: row.correlation_id,
  causationId: row.causation_id,
  stepKey: row.step_key,
  saga: row.saga,
  traceparent: row.traceparent,
  tracestate: row.tracestate,
  payload: row.payload,
});

type Statements = ReturnType<typeof statements>;
type Publish<R> = (messages: ReadonlyArray<Message.Encoded>) => Effect.Effect<ReadonlyArray<PublishVerdict>, BusError, R>;
/** Runs a statement where the shard is owned. */
type Run = <Row extends object>(text: string, values: ReadonlyArray<PgValue>) => Effect.Effect<PgResult<Row>, StoreError>;

const OPERATION = "Outbox.drain";
const BUSY: DrainResult = { _tag: "Busy" };

const drain = Effect.fnUntraced(function* <R>(
  client: PgClient["Service"],
  sql: Statements,
  shard: number,
  max: number,
  publish: Publish<R>,
): Effect.fn.Return<DrainResult, StoreError | BusError, R> {
  if ((yield* PgTransaction.open) !== null) return yield* PgTransaction.failure("Misuse", OPERATION, "a drain inside of a transaction");
  return yield* client.driver.kind === "Pool"
    ? drainLocked(client, sql, shard, max, publish)
    : drainAlone(client, sql, shard, max, publish);
});

/** Owns the shard by a transaction. */
const drainLocked = <R>(client: PgClient["Service"], sql: Statements, shard: number, max: number, publish: Publish<R>) =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      const session = yield* begin(client.driver, OPERATION, restore);
      const run: Run = (text, values) => attempt(OPERATION, () => session.query(text, values));
      const exit = yield* Effect.exit(
        Effect.gen(function* () {
          const { rows } = yield* run<{ readonly owned: boolean }>(sql.own, [lockClass(client.tables), shard]);
          return rows[0]?.owned === true ? yield* drainOwned(run, sql, shard, max, publish, restore) : BUSY;
        }),
      );
      if (Exit.isFailure(exit)) {
        yield* Effect.promise(() => session.rollback());
        return yield* exit;
      }
      // Lost or not: what was marked is published, what was not comes again. So nothing here is `Unknown`.
      yield* attempt(OPERATION, () => session.commit());
      return exit.value;
    }),
  );

/** Owns the shard by name: there is one process, and it has one connection. */
const drainAlone = <R>(client: PgClient["Service"], sql: Statements, shard: number, max: number, publish: Publish<R>) => {
  const { ownedShards } = client.driver;
  const name = `${client.tables}/${shard}`;
  const run: Run = (text, values) => client.query(OPERATION, text, values);
  return Effect.uninterruptibleMask((restore) =>
    Effect.suspend(() => {
      if (ownedShards.has(name)) return Effect.succeed(BUSY);
      ownedShards.add(name);
      return Effect.ensuring(
        drainOwned(run, sql, shard, max, publish, restore),
        Effect.sync(() => ownedShards.delete(name)),
      );
    }),
  );
};

const drainOwned = Effect.fnUntraced(function* <R>(
  run: Run,
  sql: Statements,
  shard: number,
  max: number,
  publish: Publish<R>,
  restore: <A, E, R2>(effect: Effect.Effect<A, E, R2>) => Effect.Effect<A, E, R2>,
): Effect.fn.Return<DrainResult, StoreError | BusError, R> {
  const { rows } = yield* run<OutboxRow>(sql.claim, [shard, max]);
  if (rows.length === 0) return { _tag: "Drained", published: 0, refused: 0 };
  const verdicts = yield* restore(publish(rows.map(messageOf)));
  if (verdicts.length !== rows.length) {
    return yield* PgTransaction.failure("Misuse", OPERATION, `${verdicts.length} verdicts for ${rows.length} messages`);
  }
  const isPublished = verdicts.map((verdict) => verdict === "Published");
  yield* run(sql.mark, [rows.map((row) => row.seq), isPublished]);
  const published = isPublished.filter(Boolean).length;
  return { _tag: "Drained", published, refused: rows.length - published };
});

/** Advisory locks belong to the database: the first number keeps its outboxes, and other users, apart. */
const lockClass = (tables: string): number => Shard.fnv1a(`saga-outbox:${tables}`) | 0;
