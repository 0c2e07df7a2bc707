/** `IdempotencyKeys` on PostgreSQL. A concurrent claim of a key waits at the primary key until this one ends. */
import { type IdempotencyKey, IdempotencyKeys, type IdempotencyVerdict, type StoreError, type Transaction } from "@org/saga-core";
import { Effect, Layer } from "effect";
import { PgClient } from "./PgClient.ts";
import * as PgState from "./PgState.ts";
import * as PgSweep from "./PgSweep.ts";
import * as PgTransaction from "./PgTransaction.ts";

export const layer: Layer.Layer<IdempotencyKeys, never, PgClient> = Layer.effect(
  IdempotencyKeys,
  Effect.map(PgClient, (client) => {
    const sql = statements(client.tables);
    return {
      claim: (keys) => claim(client, sql, keys),
      record: (answers) => record(client, sql, answers),
      sweep: PgSweep.make(client, "IdempotencyKeys.sweep", "idempotency_keys", "claimed_at"),
    };
  }),
);

const statements = (tables: string) => ({
  claim: `
insert into ${tables}idempotency_keys (scope, key, fingerprint)
select scope, key, fingerprint from unnest($1::text[], $2::text[], $3::text[]) as k(scope, key, fingerprint) order by scope, key
on conflict do nothing returning scope, key`,
  read: `
select i.scope, i.key, i.fingerprint, i.answer from ${tables}idempotency_keys i
join unnest($1::text[], $2::text[]) as k(scope, key) on i.scope = k.scope and i.key = k.key`,
  // `now()` is the transaction's own time: only what it claimed itself has that.
  record: `
update ${tables}idempotency_keys i set answer = a.answer::jsonb
from unnest($1::text[], $2::text[], $3::text[]) as a(scope, key, answer)
where i.scope = a.scope and i.key = a.key and i.answer is null and i.claimed_at = now()`,
});

interface KeyRow {
  readonly scope: string;
  readonly key: string;
}

interface AnswerRow extends KeyRow {
  readonly fingerprint: string;
  readonly answer: unknown;
}

const claim = Effect.fnUntraced(function* (
  client: PgClient["Service"],
  sql: ReturnType<typeof statements>,
  keys: ReadonlyArray<IdempotencyKey>,
): Effect.fn.Return<ReadonlyArray<IdempotencyVerdict>, StoreError, Transaction> {
  yield* PgTransaction.current(client.driver, "IdempotencyKeys.claim");
  if (new Set(keys.map(nameOf)).size < keys.length) {
    return yield* PgTransaction.failure("Misuse", "IdempotencyKeys.claim", "one key twice in a call");
  }
  const scopes = keys.map((key) => key.scope);
  const names = keys.map((key) => key.key);
  const claimed = yield* client.within<KeyRow>("IdempotencyKeys.claim", sql.claim, [scopes, names, keys.map((key) => key.fingerprint)]);
  const isNew = new Set(claimed.rows.map(nameOf));
  if (isNew.size === keys.length) return keys.map(() => ({ _tag: "New" }));
  const known = yield* client.within<AnswerRow>("IdempotencyKeys.claim", sql.read, [scopes, names]);
  const rows = new Map(known.rows.map((row) => [nameOf(row), row]));
  return keys.map((key): IdempotencyVerdict => {
    if (isNew.has(nameOf(key))) return { _tag: "New" };
    const row = rows.get(nameOf(key));
    return row === undefined || row.fingerprint !== key.fingerprint ? { _tag: "Mismatch" } : { _tag: "Repeated", answer: row.answer };
  });
});

const record = Effect.fnUntraced(function* (
  client: PgClient["Service"],
  sql: ReturnType<typeof statements>,
  answers: ReadonlyArray<{ readonly key: IdempotencyKey; readonly answer: unknown }>,
): Effect.fn.Return<void, StoreError, Transaction> {
  const transaction = yield* PgTransaction.current(client.driver, "IdempotencyKeys.record");
  const texts: Array<string> = [];
  for (const { answer } of answers) {
    const text = PgState.textOf(answer);
    if (text === undefined) {
      return yield* PgTransaction.doom(
        transaction,
        PgTransaction.failure("Refused", "IdempotencyKeys.record", "the answer is not a JSON value"),
      );
    }
    texts.push(text);
  }
  const { count } = yield* client.within("IdempotencyKeys.record", sql.record, [
    answers.map(({ key }) => key.scope),
    answers.map(({ key }) => key.key),
    texts,
  ]);
  if (count !== answers.length) {
    const text = `${answers.length - count} keys were not claimed in this transaction`;
    return yield* PgTransaction.doom(transaction, PgTransaction.failure("Misuse", "IdempotencyKeys.record", text));
  }
});

const nameOf = ({ scope, key }: KeyRow): string => JSON.stringify([scope, key]);
