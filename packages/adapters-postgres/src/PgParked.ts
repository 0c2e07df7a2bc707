/**
 * Messages that the broker refused for good, and what a person decides about them. A decision takes the shard as a drain
 * does: otherwise a relay could hold messages behind one that is no longer there.
 *
 *   pending → blocking ─ retry → pending        held ─ (nothing blocks its key) → pending
 *           → aside    ─ discard → gone
 */
import type { Message, Parked, ParkedDecision, StoreError, Transaction } from "@org/saga-core";
import { Effect } from "effect";
import type { PgClient } from "./PgClient.ts";
import * as PgOutboxRow from "./PgOutboxRow.ts";
import type { Statements } from "./PgOutboxSql.ts";
import * as PgShard from "./PgShard.ts";

const OPERATION = "Outbox.settleParked";

interface ParkedRow extends PgOutboxRow.MetaRow {
  readonly parked_at: number;
  readonly blocks: boolean;
  readonly held: number;
}

export const list = (client: PgClient["Service"], sql: Statements, max: number): Effect.Effect<ReadonlyArray<Parked>, StoreError> =>
  Effect.map(client.query<ParkedRow>("Outbox.parked", sql.parked, [max]), ({ rows }) =>
    rows.map((row) => ({ message: PgOutboxRow.metaOf(row), parkedAt: row.parked_at, blocks: row.blocks, held: row.held })),
  );

/** All of them in one commit, or none: whoever decided hears which it was, also when the answer to COMMIT is lost. */
export const settle = Effect.fnUntraced(function* (
  client: PgClient["Service"],
  sql: Statements,
  messageIds: ReadonlyArray<string>,
  decision: ParkedDecision,
): Effect.fn.Return<ReadonlyArray<Message.Meta>, StoreError> {
  const { rows } = yield* client.query<{ readonly shard: number }>(OPERATION, sql.shardsOf, [messageIds]);
  if (rows.length === 0) return [];
  const shards = rows.map(({ shard }) => shard);
  const locks = { name: PgShard.ofOutbox(client.tables), own: sql.ownWaiting };
  const settling = Effect.forEach(shards, (shard) => settleOwned(client, sql, shard, messageIds, decision));
  return (yield* PgShard.committing(client, locks, OPERATION, shards, settling)).flat();
});

type ChosenRow = PgOutboxRow.MetaRow & PgOutboxRow.Place;

const settleOwned = Effect.fnUntraced(function* (
  client: PgClient["Service"],
  sql: Statements,
  shard: number,
  messageIds: ReadonlyArray<string>,
  decision: ParkedDecision,
): Effect.fn.Return<ReadonlyArray<Message.Meta>, StoreError, Transaction> {
  const { rows } = yield* client.within<ChosenRow>(OPERATION, sql.chosen, [shard, messageIds]);
  for (const text of decision === "Retry" ? [sql.retry] : [sql.giveUp, sql.discard]) {
    yield* PgOutboxRow.bySlot(rows, (slot, seqs) => client.within(OPERATION, text, [slot, seqs]));
  }
  const [topics, keys] = [rows.map(({ topic }) => topic), rows.map(({ aggregateid }) => aggregateid)];
  yield* client.within(OPERATION, sql.release, [shard, topics, keys]);
  return rows.map(PgOutboxRow.metaOf);
});
