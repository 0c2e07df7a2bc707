/**
 * `IdempotencyKeys` on PostgreSQL. A claim tries an advisory lock for each key that has no row yet, and the lock ends with
 * the transaction: whoever does not get it knows that the first one is still in flight, and does not wait for it at the
 * primary key.
 *
 * Advisory locks live in the server's lock table, which holds `max_locks_per_transaction` (64) entries for each of its
 * `max_connections`: one batch of 256 new keys takes those of four connections.
 */
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
  // All that is not New, so nothing at all for a batch of new requests. A lock that was got just after the first one's commit
  // is a conflict at the primary key (`overtaken`): its row is read by the statement after this one.
  claim: `
with asked as materialized (
  select k.n, k.scope, k.key, k.fingerprint, i.fingerprint as first, i.answer
  from unnest($1::text[], $2::text[], $3::text[]) with ordinality as k(scope, key, fingerprint, n)
  left join lateral (
    select i.fingerprint, i.answer from ${tables}idempotency_keys i where i.scope = k.scope and i.key = k.key limit 1
  ) i on true
), tried as materialized (
  select n, scope, key, fingerprint, first, answer, case when first is null
    then pg_try_advisory_xact_lock(hashtextextended(key, hashtextextended(scope, hashtextextended($4::text, 0)))) end as ours
  from asked
), claimed as (
  insert into ${tables}idempotency_keys (scope, key, fingerprint)
  select scope, key, fingerprint from tried where ours order by scope, key
  on conflict do nothing returning scope, key
)
select (t.n - 1)::float8 as index, t.first, t.answer, t.ours as overtaken
from tried t left join claimed c on c.scope = t.scope and c.key = t.key where c.key is null`,
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

/** A key that is not New. */
interface TriedRow {
  readonly index: number;
  /** Fingerprint and answer of the request that has the key. */
  readonly first: string | null;
  readonly answer: unknown;
  /** The lock is ours; null where there was a row already. */
  readonly overtaken: boolean | null;
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
  const values = [...namesOf(keys), keys.map((key) => key.fingerprint), `${client.tables}idempotency_keys`];
  const { rows } = yield* client.within<TriedRow>("IdempotencyKeys.claim", sql.claim, values);
  const verdicts = keys.map((): IdempotencyVerdict => ({ _tag: "New" }));
  for (const { index, first, answer } of rows) verdicts[index] = verdictOf(keys[index], first, answer);
  const late = rows.filter((row) => row.overtaken === true);
  if (late.length === 0) return verdicts;
  const asked = late.flatMap(({ index }) => keys[index] ?? []);
  const known = yield* client.within<AnswerRow>("IdempotencyKeys.claim", sql.read, namesOf(asked));
  const answers = new Map(known.rows.map((row) => [nameOf(row), row]));
  return keys.map((key, index): IdempotencyVerdict => {
    const row = answers.get(nameOf(key));
    return row === undefined ? (verdicts[index] ?? IN_FLIGHT) : verdictOf(key, row.fingerprint, row.answer);
  });
});

const IN_FLIGHT: IdempotencyVerdict = { _tag: "InFlight" };

/** The verdict on a key that was claimed under the fingerprint `first`; null while nobody can see that. */
const verdictOf = (key: IdempotencyKey | undefined, first: string | null, answer: unknown): IdempotencyVerdict => {
  if (first === null) return IN_FLIGHT;
  return first === key?.fingerprint ? { _tag: "Repeated", answer } : { _tag: "Mismatch" };
};

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
  const { count } = yield* client.within("IdempotencyKeys.record", sql.record, [...namesOf(answers.map(({ key }) => key)), texts]);
  if (count !== answers.length) {
    const text = `${answers.length - count} keys were not claimed in this transaction`;
    return yield* PgTransaction.doom(transaction, PgTransaction.failure("Misuse", "IdempotencyKeys.record", text));
  }
});

const namesOf = (keys: ReadonlyArray<KeyRow>) => [keys.map(({ scope }) => scope), keys.map(({ key }) => key)];

const nameOf = ({ scope, key }: KeyRow): string => JSON.stringify([scope, key]);
