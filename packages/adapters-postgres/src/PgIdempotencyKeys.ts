/**
 * `IdempotencyKeys` on PostgreSQL. A claim tries an advisory lock for each key; the lock ends with the transaction, and a row
 * is written only with the answer. Whoever does not get the lock knows that the first request is still in flight, and waits
 * for nobody.
 *
 * Advisory locks live in the server's lock table, which holds `max_locks_per_transaction` (64) entries for each of its
 * `max_connections`: one batch of 256 keys takes those of four connections.
 */
import { type IdempotencyKey, IdempotencyKeys, type IdempotencyVerdict, type StoreError, type Transaction } from "@org/saga-core";
import { Effect, Layer } from "effect";
import { PgClient } from "./PgClient.ts";
import * as PgText from "./PgText.ts";
import * as PgSweep from "./PgSweep.ts";
import * as PgTransaction from "./PgTransaction.ts";

export const layer: Layer.Layer<IdempotencyKeys, never, PgClient> = Layer.effect(
  IdempotencyKeys,
  Effect.map(PgClient, (client) => {
    const sql = statements(client.tables);
    /** What each open transaction has claimed. */
    const claims: Claims = new WeakMap();
    return {
      claim: (keys) => claim(client, sql, claims, keys),
      record: (answers) => record(client, sql, claims, answers),
      sweep: PgSweep.make(client, "IdempotencyKeys.sweep", "idempotency_keys", "claimed_at"),
    };
  }),
);

const statements = (tables: string) => ({
  // Positions of the keys whose lock another transaction has.
  lock: `
select (k.n - 1)::float8 as index from unnest($1::text[], $2::text[]) with ordinality as k(scope, key, n)
where not pg_try_advisory_xact_lock(hashtextextended(key, hashtextextended(scope, hashtextextended($3::text, 0))))`,
  // A statement of its own: only one that begins after the locks were granted sees what their last owners wrote.
  read: `
select (k.n - 1)::float8 as index, i.fingerprint, i.answer
from unnest($1::text[], $2::text[]) with ordinality as k(scope, key, n)
join ${tables}idempotency_keys i on ${PgText.equal("i.scope", "k.scope")} and ${PgText.equal("i.key", "k.key")}
where i.key = any($2::text[])`,
  record: `
insert into ${tables}idempotency_keys (scope, key, fingerprint, answer)
select scope, key, fingerprint, answer::json
from unnest($1::text[], $2::text[], $3::text[], ${PgText.arrayOf("$4")}) as a(scope, key, fingerprint, answer)
order by scope, key`,
});

type Claims = WeakMap<PgTransaction.PgTransaction, Set<string>>;

interface AnswerRow {
  readonly index: number;
  readonly fingerprint: string;
  readonly answer: unknown;
}

const claim = Effect.fnUntraced(function* (
  client: PgClient["Service"],
  sql: ReturnType<typeof statements>,
  claims: Claims,
  keys: ReadonlyArray<IdempotencyKey>,
): Effect.fn.Return<ReadonlyArray<IdempotencyVerdict>, StoreError, Transaction> {
  const transaction = yield* PgTransaction.current(client.driver, "IdempotencyKeys.claim");
  if (new Set(keys.map(nameOf)).size < keys.length) {
    return yield* PgTransaction.failure("Misuse", "IdempotencyKeys.claim", "one key twice in a call");
  }
  const names = [keys.map((key) => key.scope), keys.map((key) => key.key)];
  const lock = client.within<{ readonly index: number }>("IdempotencyKeys.claim", sql.lock, [...names, `${client.tables}idempotency_keys`]);
  const read = client.within<AnswerRow>("IdempotencyKeys.claim", sql.read, names);
  const [others, known] = yield* Effect.all([lock, read], { concurrency: "unbounded" });
  const verdicts = keys.map((): IdempotencyVerdict => ({ _tag: "New" }));
  for (const { index } of others.rows) verdicts[index] = { _tag: "InFlight" };
  for (const { index, fingerprint, answer } of known.rows) {
    verdicts[index] = keys[index]?.fingerprint === fingerprint ? { _tag: "Repeated", answer } : { _tag: "Mismatch" };
  }
  const claimed = claims.get(transaction) ?? new Set();
  for (const [index, key] of keys.entries()) if (verdicts[index]?._tag === "New") claimed.add(nameOf(key));
  claims.set(transaction, claimed);
  return verdicts;
});

const record = Effect.fnUntraced(function* (
  client: PgClient["Service"],
  sql: ReturnType<typeof statements>,
  claims: Claims,
  answers: ReadonlyArray<{ readonly key: IdempotencyKey; readonly answer: unknown }>,
): Effect.fn.Return<void, StoreError, Transaction> {
  const transaction = yield* PgTransaction.current(client.driver, "IdempotencyKeys.record");
  const refuse = (reason: "Misuse" | "Refused", message: string) =>
    PgTransaction.doom(transaction, PgTransaction.failure(reason, "IdempotencyKeys.record", message));
  const claimed = claims.get(transaction);
  const texts: Array<string> = [];
  for (const { key, answer } of answers) {
    // An answer is recorded once: the claim is used up.
    if (claimed?.delete(nameOf(key)) !== true) return yield* refuse("Misuse", "a key was not claimed in this transaction");
    const text = PgText.textOf(answer);
    if (text === undefined) return yield* refuse("Refused", "the answer is not a JSON value");
    texts.push(text);
  }
  yield* client.within("IdempotencyKeys.record", sql.record, [
    answers.map(({ key }) => key.scope),
    answers.map(({ key }) => key.key),
    answers.map(({ key }) => key.fingerprint),
    PgText.listOf(texts),
  ]);
});

const nameOf = ({ scope, key }: IdempotencyKey): string => JSON.stringify([scope, key]);
