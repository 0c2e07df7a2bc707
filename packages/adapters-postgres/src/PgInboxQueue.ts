/**
 * `InboxQueue` on PostgreSQL.
 *
 * 1. A puller that was overtaken is refused by the fence, in the transaction that would store.
 * 2. A shard has one owner: an advisory lock that ends with the owner's transaction, so also with its connection. It is taken
 *    in a statement of its own: only a later statement sees what the previous owner marked.
 * 3. Messages are marked only after the handler's own commit. An owner that dies in between hands them over again.
 *
 * PGlite has one connection, so there the owner is a name in the process, and nothing is open while the handler works.
 */
import {
  type ClaimedMessage,
  type DeadLetter,
  DeadLetters,
  type FollowerPolicy,
  formatPosition,
  type InboxMark,
  InboxQueue,
  INBOX_SHARDS,
  type Message,
  type ProcessResult,
  Shard,
  type StoredMessage,
  type StoreError,
  type StoreVerdict,
  Transaction,
} from "@org/saga-core";
import { Effect, Layer } from "effect";
import { PgClient } from "./PgClient.ts";
import * as PgDeadLetters from "./PgDeadLetters.ts";
import * as PgInboxQueueSql from "./PgInboxQueueSql.ts";
import * as PgShard from "./PgShard.ts";
import * as PgText from "./PgText.ts";
import * as PgTransaction from "./PgTransaction.ts";
import * as PgWakeup from "./PgWakeup.ts";

interface Queue {
  readonly client: PgClient["Service"];
  readonly sql: PgInboxQueueSql.Statements;
  readonly deadLetters: DeadLetters["Service"];
}

export const layer: Layer.Layer<InboxQueue, never, PgClient> = Layer.effect(
  InboxQueue,
  Effect.gen(function* () {
    const client = yield* PgClient;
    const sql = PgInboxQueueSql.statements(client.tables);
    const queue: Queue = { client, sql, deadLetters: yield* DeadLetters };
    const wakeup = PgWakeup.make();
    const pendingShards = (consumer: string) =>
      Effect.map(client.query<{ readonly shard: number }>("InboxQueue.pendingShards", sql.pendingShards, [consumer]), ({ rows }) =>
        rows.map((row) => row.shard),
      );
    return {
      store: (consumer, fence, messages) => store(queue, wakeup, consumer, fence, messages),
      pendingShards,
      process: (consumer, shard, max, policy, handle) => process(queue, { consumer, shard, max, policy }, handle),
      awaitPending: (consumer, atMost) =>
        PgWakeup.wait(
          wakeup,
          Effect.map(pendingShards(consumer), (shards) => shards.length > 0),
          atMost,
        ),
      backlog: (consumer) =>
        Effect.map(
          client.query<{ readonly unprocessed: number; readonly failed: number; readonly oldest_at: number | null }>(
            "InboxQueue.backlog",
            sql.backlog,
            [consumer],
          ),
          ({ rows }) => ({ unprocessed: rows[0]?.unprocessed ?? 0, failed: rows[0]?.failed ?? 0, oldestAt: rows[0]?.oldest_at ?? null }),
        ),
    };
  }),
).pipe(Layer.provide(PgDeadLetters.layer));

const FENCED: StoreVerdict = { _tag: "Fenced" };

const store = Effect.fnUntraced(function* (
  { client, sql }: Queue,
  wakeup: PgWakeup.Wakeup,
  consumer: string,
  fence: number,
  messages: ReadonlyArray<StoredMessage>,
): Effect.fn.Return<StoreVerdict, StoreError, Transaction> {
  const operation = "InboxQueue.store";
  const transaction = yield* PgTransaction.current(client.driver, operation);
  const { rows } = yield* client.within<{ readonly fence: number }>(operation, sql.fence, [consumer, fence]);
  const [newest] = rows;
  if (newest !== undefined && newest.fence > fence) return FENCED;
  if (newest === undefined && (yield* client.within(operation, sql.advance, [consumer, fence])).count === 0) return FENCED;
  if (messages.length === 0) return { _tag: "Stored", added: 0 };
  const text = (of: (each: StoredMessage) => string) => messages.map((each) => PgText.storable(of(each)));
  const { count } = yield* client.within(operation, sql.store, [
    consumer,
    text(({ message }) => message.id),
    messages.map(({ message }) => Shard.of(message.key, INBOX_SHARDS)),
    messages.map(({ message }) => Shard.fnv1a(message.key) | 0),
    text(({ position }) => position.topic),
    messages.map(({ position }) => position.partition),
    messages.map(({ position }) => position.offset),
    text(({ message }) => message.type),
    text(({ message }) => message.key),
    messages.map(({ problem }) => problem),
    messages.map(({ message }) => JSON.stringify(message)),
  ]);
  transaction.atCommit.add(() => wakeup.kick);
  return { _tag: "Stored", added: count };
});

interface Row {
  readonly message_id: string;
  readonly lane: number;
  readonly key: string;
  readonly topic: string;
  readonly partition_no: number;
  readonly offset_no: number;
  readonly problem: string | null;
  readonly attempts: number;
  /** What `store` wrote; drivers parse `json`. */
  readonly record: Message.Encoded;
}

interface FreshRow extends Row {
  readonly held: boolean;
}

interface Pass {
  readonly consumer: string;
  readonly shard: number;
  readonly max: number;
  readonly policy: FollowerPolicy;
}

type Handle<R> = (messages: ReadonlyArray<ClaimedMessage>) => Effect.Effect<ReadonlyArray<InboxMark>, StoreError, R>;
const OPERATION = "InboxQueue.process";
const BUSY: ProcessResult = { _tag: "Busy" };

const process = <R>(queue: Queue, pass: Pass, handle: Handle<R>): Effect.Effect<ProcessResult, StoreError, R> => {
  const { client, sql } = queue;
  const locks = { name: PgShard.ofQueue(client.tables, pass.consumer), own: sql.own };
  return PgShard.owning(client, locks, OPERATION, pass.shard, (owner) =>
    Effect.flatMap(owner.own(Effect.succeed(true)), (owned) =>
      owned === null ? Effect.succeed(BUSY) : processOwned(queue, pass, owner, handle),
    ),
  );
};

const processOwned = Effect.fnUntraced(function* <R>(
  queue: Queue,
  pass: Pass,
  { restore, within }: PgShard.Owner,
  handle: Handle<R>,
): Effect.fn.Return<ProcessResult, StoreError, R> {
  const { again, fresh } = yield* within(claim(queue, pass));
  const rows: ReadonlyArray<Row> = [...again, ...fresh.filter((row) => !row.held)];
  const empty = { _tag: "Processed", handled: 0, failed: 0, dead: 0, held: fresh.filter((row) => row.held).length } as const;
  if (rows.length === 0) return empty;
  const marks = yield* restore(handle(rows.map(claimedOf)));
  if (marks.length !== rows.length) {
    return yield* PgTransaction.failure("Misuse", OPERATION, `${marks.length} marks for ${rows.length} messages`);
  }
  yield* within(markAll(queue, pass, rows, marks, new Set(again.map((row) => row.lane))));
  const count = (tag: InboxMark["_tag"]): number => marks.filter(({ _tag }) => _tag === tag).length;
  return { ...empty, handled: count("Handled"), failed: count("Failed"), dead: count("Dead") };
});

/** What is due has half of a pass, so that it never keeps what is new from its turn. */
const claim = Effect.fnUntraced(function* ({ client, sql }: Queue, { consumer, shard, max, policy }: Pass) {
  const share = Math.ceil(max / 2);
  const due = (yield* client.within<Row>(OPERATION, sql.due, [consumer, shard, share])).rows;
  const followers = due.length === 0 ? 0 : Math.floor((share - due.length) / due.length);
  const values = [consumer, shard, due.map((row) => row.lane), due.map((row) => row.key), followers];
  const behind = followers === 0 ? [] : (yield* client.within<Row>(OPERATION, sql.behind, values)).rows;
  const again = [...due, ...behind].toSorted(comparePositions);
  const fresh = yield* client.within<FreshRow>(OPERATION, sql.fresh, [consumer, shard, max - again.length, policy === "wait"]);
  return { again, fresh: fresh.rows };
});

const comparePositions = (left: Row, right: Row): number => {
  if (left.topic !== right.topic) return left.topic < right.topic ? -1 : 1;
  return left.partition_no - right.partition_no || left.offset_no - right.offset_no;
};

const claimedOf = (row: Row): ClaimedMessage => ({
  position: positionOf(row),
  message: row.record,
  problem: row.problem,
  attempts: row.attempts,
});

const positionOf = (row: Row) => ({ topic: row.topic, partition: row.partition_no, offset: row.offset_no });

const markAll = Effect.fnUntraced(function* (
  { client, deadLetters, sql }: Queue,
  { consumer, shard }: Pass,
  rows: ReadonlyArray<Row>,
  marks: ReadonlyArray<InboxMark>,
  lanes: ReadonlySet<number>,
): Effect.fn.Return<void, StoreError, Transaction> {
  const { now } = yield* Transaction;
  const gone: Array<string> = [];
  const failed: Array<{ readonly id: string; readonly afterMillis: number }> = [];
  const letters: Array<DeadLetter> = [];
  for (const [index, row] of rows.entries()) {
    const mark = marks[index];
    if (mark === undefined || mark._tag === "Left") continue;
    if (mark._tag === "Failed") {
      failed.push({ id: row.message_id, afterMillis: mark.afterMillis });
      continue;
    }
    gone.push(row.message_id);
    if (mark._tag === "Handled") continue;
    const { detail, problem } = mark;
    const position = formatPosition(positionOf(row));
    letters.push({ consumer, message: row.record, position, problem, detail, attempts: row.attempts + 1, at: now });
  }
  if (letters.length > 0) yield* deadLetters.append(letters);
  if (gone.length > 0) yield* client.within(OPERATION, sql.remove, [consumer, gone]);
  if (failed.length > 0) {
    yield* client.within(OPERATION, sql.fail, [consumer, failed.map(({ id }) => id), failed.map(({ afterMillis }) => afterMillis)]);
  }
  if (lanes.size > 0) yield* client.within(OPERATION, sql.promote, [consumer, shard, [...lanes]]);
});
