/**
 * `Outbox` on PostgreSQL. Rows have the columns of Debezium's outbox event router.
 *
 * 1. `seq` is assigned by the insert, after the transaction holds its keys' locks: the seq order of a key is its commit order.
 * 2. A shard has one owner: an advisory lock that ends with the owner's transaction, so also with its connection. It is taken
 *    in a statement of its own: only a later statement sees what the previous owner marked.
 * 3. Rows are marked only after the bus has them. An owner that dies in between publishes them again, in the same order. One
 *    that was frozen is ended by the server (`idleInTransactionTimeout`); it may publish its batch again when it wakes up,
 *    and can mark nothing any more.
 * 4. What waits behind a refused message leaves the index of pending ones, so it costs no claim anything (`PgParked`).
 *
 * PGlite has one connection, so there the owner is a name in the process, and nothing is open while the bus works: what a sweep moves
 * to another partition meanwhile is published again.
 */
import {
  type Message,
  Outbox,
  type DrainResult,
  type DrainVerdict,
  OUTBOX_SHARDS,
  type BusError,
  Shard,
  type StoreError,
  type Transaction,
  verdictProblem,
} from "@org/saga-core";
import { Effect, Layer } from "effect";
import { PgClient } from "./PgClient.ts";
import * as PgOutboxNews from "./PgOutboxNews.ts";
import * as PgOutboxRing from "./PgOutboxRing.ts";
import * as PgOutboxRow from "./PgOutboxRow.ts";
import * as PgText from "./PgText.ts";
import * as PgOutboxSql from "./PgOutboxSql.ts";
import * as PgParked from "./PgParked.ts";
import * as PgShard from "./PgShard.ts";
import * as PgTransaction from "./PgTransaction.ts";
import * as PgWakeup from "./PgWakeup.ts";

export const layer: Layer.Layer<Outbox, never, PgClient> = Layer.effect(
  Outbox,
  Effect.gen(function* () {
    const client = yield* PgClient;
    const sql = PgOutboxSql.of(client.tables);
    const wakeup = yield* PgWakeup.shared(client.driver, channel(client.tables));
    const hasPending = Effect.map(
      client.query<{ readonly pending: boolean }>("Outbox.awaitPending", sql.hasPending),
      ({ rows }) => rows[0]?.pending === true,
    );
    const news = PgOutboxNews.make(wakeup);
    return {
      append: (messages) => append(client, sql.append, messages, news),
      pendingShards: Effect.map(client.query<{ readonly shard: number }>("Outbox.pendingShards", sql.pendingShards), ({ rows }) =>
        rows.map((row) => row.shard),
      ),
      drain: (shard, max, publish) => drain(client, sql, shard, max, publish, () => news.behind(shard)),
      awaitPending: (atMost) => news.rest(PgWakeup.wait(wakeup, hasPending, atMost)),
      backlog: Effect.map(client.query<BacklogRow>("Outbox.backlog", sql.backlog), ({ rows: [row] }) => ({
        pending: row?.pending ?? 0,
        oldestAt: row?.oldest_at ?? null,
        parked: row?.parked ?? 0,
        held: row?.held ?? 0,
      })),
      parked: (max) => PgParked.list(client, sql, max),
      settleParked: (messageIds, decision) =>
        Effect.tap(PgParked.settle(client, sql, messageIds, decision), () => Effect.sync(wakeup.kick)),
      decisions: (max) => PgParked.decisions(client, max),
      sweep: (before) => PgOutboxRing.sweep(client, before),
    };
  }),
);

interface BacklogRow {
  readonly pending: number;
  readonly oldest_at: number | null;
  readonly parked: number;
  readonly held: number;
}

/** PostgreSQL's names end at 63 bytes: a hash of the tables' name is short, and keeps services of one database apart. */
export const channel = (tables: string): string => `saga_outbox_${Shard.fnv1a(tables).toString(16)}`;

/** `order.created` is about an `order`. */
const aggregateOf = (topic: string): string => topic.split(".", 1)[0] ?? topic;

const append = Effect.fnUntraced(function* (
  client: PgClient["Service"],
  statement: string,
  messages: ReadonlyArray<Message.Encoded>,
  news: PgOutboxNews.OutboxNews,
): Effect.fn.Return<void, StoreError, Transaction> {
  const transaction = yield* PgTransaction.current(client.driver, "Outbox.append");
  if (messages.length === 0) return;
  const shards = messages.map((message) => Shard.of(message.key, OUTBOX_SHARDS));
  yield* client.within("Outbox.append", statement, [
    messages.map((message) => message.id),
    shards,
    messages.map((message) => aggregateOf(message.topic)),
    messages.map((message) => message.key),
    messages.map((message) => message.type),
    messages.map((message) => message.topic),
    PgText.listOf(messages.map((message) => message.payload)),
    messages.map((message) => message.occurredAt),
    messages.map((message) => message.correlationId),
    messages.map((message) => message.causationId),
    messages.map((message) => message.stepKey),
    messages.map((message) => message.saga),
    messages.map((message) => message.traceparent),
    messages.map((message) => message.tracestate),
  ]);
  news.appended(transaction, shards);
});

type Publish<R> = (messages: ReadonlyArray<Message.Encoded>) => Effect.Effect<ReadonlyArray<DrainVerdict>, BusError, R>;

const OPERATION = "Outbox.drain";
const BUSY: DrainResult = { _tag: "Busy" };

const drain = <R>(
  client: PgClient["Service"],
  sql: PgOutboxSql.Statements,
  shard: number,
  max: number,
  publish: Publish<R>,
  behind: PgShard.Behind,
): Effect.Effect<DrainResult, StoreError | BusError, R> =>
  PgShard.owning(
    client,
    { name: PgShard.ofOutbox(client.tables), own: sql.own },
    OPERATION,
    shard,
    ({ own, restore, run }) =>
      Effect.flatMap(own(run<PgOutboxRow.ClaimedRow>(sql.claim, [shard, max])), (claimed) =>
        claimed === null ? Effect.succeed(BUSY) : publishAndMark(run, sql, shard, claimed.rows, publish, restore),
      ),
    behind,
  );

const PARKED_AS = { Refused: "blocking", SetAside: "aside", Held: "held" } as const;

const publishAndMark = Effect.fnUntraced(function* <R>(
  run: PgShard.Run,
  sql: PgOutboxSql.Statements,
  shard: number,
  claimed: ReadonlyArray<PgOutboxRow.ClaimedRow>,
  publish: Publish<R>,
  restore: PgShard.Restore,
): Effect.fn.Return<DrainResult, StoreError | BusError, R> {
  const rows = claimed.filter((row) => !row.held);
  const messages = rows.map(PgOutboxRow.messageOf);
  const verdicts = messages.length === 0 ? [] : yield* restore(publish(messages));
  const problem = verdictProblem(messages, verdicts);
  if (problem !== null) return yield* PgTransaction.failure("Misuse", OPERATION, problem);
  const became = (verdict: DrainVerdict) => rows.filter((_, index) => verdicts[index] === verdict);
  const published = became("Published");
  const held = [...claimed.filter((row) => row.held), ...became("Held")];
  const mark = (statement: string, places: ReadonlyArray<PgOutboxRow.Place>, ...as: ReadonlyArray<string>) =>
    PgOutboxRow.bySlot(places, (slot, seqs) => run(statement, [slot, shard, seqs, ...PgOutboxRow.rangeOf(seqs), ...as]));
  yield* mark(sql.markSent, published);
  for (const verdict of ["Refused", "SetAside"] as const) yield* mark(sql.park, became(verdict), PARKED_AS[verdict]);
  yield* mark(sql.park, held, PARKED_AS.Held);
  return {
    _tag: "Drained",
    published: published.length,
    refused: became("Refused").length + became("SetAside").length,
    held: held.length,
  };
});
