/**
 * Messages that the broker refused for good, and what a person decides about them. A decision takes the shard as a drain
 * does: otherwise a relay could hold messages behind one that is no longer there.
 *
 *   pending → blocking ─ retry → pending        held ─ (nothing blocks its key) → pending
 *           → aside    ─ discard → gone
 */
import type { Decided, Message, Parked, ParkedAction, ParkedDecision, StoreError, Transaction } from "@org/saga-core";
import { Effect } from "effect";
import type { PgClient } from "./PgClient.ts";
import * as PgOutboxRow from "./PgOutboxRow.ts";
import type { Statements } from "./PgOutboxSql.ts";
import * as PgText from "./PgText.ts";
import * as PgTime from "./PgTime.ts";
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

interface DecidedRow {
  readonly id: string;
  readonly type: string;
  readonly topic: string;
  readonly key: string;
  readonly decision: "retry" | "discard";
  readonly decided_by: string;
  readonly reason: string;
  readonly at: number;
}

const WORD = { Retry: "retry", Discard: "discard" } as const satisfies Record<ParkedAction, DecidedRow["decision"]>;
const ACTION = { retry: "Retry", discard: "Discard" } as const;

export const decisions = (client: PgClient["Service"], max: number): Effect.Effect<ReadonlyArray<Decided>, StoreError> =>
  Effect.map(client.query<DecidedRow>("Outbox.decisions", newest(client.tables), [max]), ({ rows }) =>
    rows.map(({ at, decided_by: by, decision, reason, ...message }) => ({ message, action: ACTION[decision], by, reason, at })),
  );

const newest = (tables: string): string => `
select message_id as id, type, topic, key, decision, decided_by, reason, ${PgTime.millis("decided_at")} as at
from ${tables}outbox_decisions order by seq desc limit $1::int`;

const record = (tables: string): string => `
insert into ${tables}outbox_decisions (message_id, type, topic, key, decision, decided_by, reason)
select id, type, topic, key, $5, $6, $7 from unnest($1::text[], $2::text[], $3::text[], $4::text[]) as m(id, type, topic, key)`;

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
  return yield* PgShard.committing(client, locks, OPERATION, shards, settleOwned(client, sql, shards, messageIds, decision));
});

type ChosenRow = PgOutboxRow.MetaRow & PgOutboxRow.Place;

/** The shards are locked: nobody else decides about these messages before the commit. */
const settleOwned = Effect.fnUntraced(function* (
  client: PgClient["Service"],
  sql: Statements,
  shards: ReadonlyArray<number>,
  messageIds: ReadonlyArray<string>,
  decision: ParkedDecision,
): Effect.fn.Return<ReadonlyArray<Message.Meta>, StoreError, Transaction> {
  const chosen = yield* Effect.forEach(shards, (shard) =>
    Effect.map(client.within<ChosenRow>(OPERATION, sql.chosen, [shard, messageIds]), ({ rows }) => ({ shard, rows })),
  );
  const parked = chosen.flatMap(({ rows }) => rows.map(PgOutboxRow.metaOf));
  const isAll = new Set(parked.map(({ id }) => id)).size === new Set(messageIds).size;
  if (isAll) for (const { shard, rows } of chosen) yield* settleRows(client, sql, shard, rows, decision);
  return parked;
});

const settleRows = Effect.fnUntraced(function* (
  client: PgClient["Service"],
  sql: Statements,
  shard: number,
  rows: ReadonlyArray<ChosenRow>,
  decision: ParkedDecision,
): Effect.fn.Return<void, StoreError, Transaction> {
  for (const text of decision.action === "Retry" ? [sql.retry] : [sql.giveUp, sql.discard]) {
    yield* PgOutboxRow.bySlot(rows, (slot, seqs) => client.within(OPERATION, text, [slot, shard, seqs]));
  }
  const [topics, keys] = [rows.map(({ topic }) => topic), rows.map(({ aggregateid }) => aggregateid)];
  yield* client.within(OPERATION, sql.release, [shard, topics, keys]);
  const [by, reason] = [PgText.storable(decision.by), PgText.storable(decision.reason)];
  const about = [rows.map(({ id }) => id), rows.map(({ type }) => type), topics, keys];
  yield* client.within(OPERATION, record(client.tables), [...about, WORD[decision.action], by, reason]);
});
