/**
 * Messages that the broker refused for good, and what a person decides about them. A decision takes the shard as a drain
 * does: otherwise a relay could hold messages behind one that is no longer there.
 *
 *   pending → blocking ─ retry → pending        held ─ (nothing blocks its key) → pending
 *           → aside    ─ discard → gone
 */
import type { Message, Parked, ParkedDecision, StoreError } from "@org/saga-core";
import { Effect } from "effect";
import type { PgClient } from "./PgClient.ts";
import * as PgOutboxRow from "./PgOutboxRow.ts";
import type { Statements } from "./PgOutboxSql.ts";
import * as PgShard from "./PgShard.ts";
import * as PgTransaction from "./PgTransaction.ts";

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

/** Shard by shard, each in a transaction of its own. */
export const settle = Effect.fnUntraced(function* (
  client: PgClient["Service"],
  sql: Statements,
  messageIds: ReadonlyArray<string>,
  decision: ParkedDecision,
): Effect.fn.Return<ReadonlyArray<Message.Meta>, StoreError> {
  const { rows } = yield* client.query<{ readonly shard: number }>(OPERATION, sql.shardsOf, [messageIds]);
  const settled = yield* Effect.forEach(rows, ({ shard }) =>
    PgShard.owning(client, sql.ownWaiting, OPERATION, shard, (run, owned) =>
      Effect.flatMap(owned, (isOwned) =>
        isOwned
          ? settleOwned(run, sql, shard, messageIds, decision)
          : Effect.fail(PgTransaction.failure("Contention", OPERATION, "a relay is publishing the shard")),
      ),
    ),
  );
  return settled.flat();
});

type ChosenRow = PgOutboxRow.MetaRow & PgOutboxRow.Place;

const settleOwned = Effect.fnUntraced(function* (
  run: PgShard.Run,
  sql: Statements,
  shard: number,
  messageIds: ReadonlyArray<string>,
  decision: ParkedDecision,
): Effect.fn.Return<ReadonlyArray<Message.Meta>, StoreError> {
  const { rows } = yield* run<ChosenRow>(sql.chosen, [shard, messageIds]);
  for (const text of decision === "Retry" ? [sql.retry] : [sql.giveUp, sql.discard]) {
    yield* PgOutboxRow.bySlot(rows, (slot, seqs) => run(text, [slot, seqs]));
  }
  yield* run(sql.release, [shard, rows.map(({ topic }) => topic), rows.map(({ aggregateid }) => aggregateid)]);
  return rows.map(PgOutboxRow.metaOf);
});
