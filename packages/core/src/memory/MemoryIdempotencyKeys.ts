/**
 * `IdempotencyKeys` on a `MemoryDatabase`. Transactions run one after another, so there is never another open
 * one that a key could be in flight in: a concurrent request waits for its turn, and is repeated.
 */
import { Effect, Layer } from "effect";
import { type IdempotencyKey, IdempotencyKeys, type IdempotencyVerdict } from "../ports/IdempotencyKeys.ts";
import type { StoreError } from "../ports/StoreError.ts";
import type { Transaction } from "../ports/UnitOfWork.ts";
import * as FaultPoint from "./FaultPoint.ts";
import * as MemoryDatabase from "./MemoryDatabase.ts";
import * as MemoryState from "./MemoryState.ts";
import { keyOf } from "./MemoryTable.ts";

export const layer: Layer.Layer<IdempotencyKeys, never, MemoryDatabase.CurrentDatabase> = Layer.effect(
  IdempotencyKeys,
  Effect.map(MemoryDatabase.CurrentDatabase, (database) => {
    /** What each open transaction has claimed. */
    const claims: Claims = new WeakMap();
    return {
      claim: (keys) => FaultPoint.around(CLAIM, claim(database, claims, keys)),
      record: (answers) => FaultPoint.around(RECORD, record(database, claims, answers)),
      sweep: (before) =>
        FaultPoint.around(
          "IdempotencyKeys.sweep",
          Effect.sync(() => database.idempotencyKeys.removeCommittedWhere((row) => row.claimedAt < before)),
        ),
    };
  }),
);

type Claims = WeakMap<MemoryDatabase.MemoryTransaction, Set<string>>;

const CLAIM = "IdempotencyKeys.claim";
const RECORD = "IdempotencyKeys.record";

const claim = Effect.fnUntraced(function* (
  database: MemoryDatabase.Database,
  claims: Claims,
  keys: ReadonlyArray<IdempotencyKey>,
): Effect.fn.Return<ReadonlyArray<IdempotencyVerdict>, StoreError, Transaction> {
  const transaction = yield* MemoryDatabase.current(database, CLAIM);
  const table = database.idempotencyKeys;
  const distinct = new Set(keys.map(rowKey));
  if (distinct.size < keys.length) return yield* MemoryDatabase.failure("Misuse", CLAIM, "the same key twice in one call");
  const claimed = claims.get(transaction) ?? new Set();
  claims.set(transaction, claimed);
  const verdicts: Array<IdempotencyVerdict> = [];
  for (const key of keys) {
    const row = table.get(rowKey(key));
    if (row === undefined) {
      claimed.add(rowKey(key));
      verdicts.push({ _tag: "New" });
    } else if (row.fingerprint !== key.fingerprint) {
      verdicts.push({ _tag: "Mismatch" });
    } else {
      verdicts.push({ _tag: "Repeated", answer: MemoryState.valueOf(row.answer) });
    }
  }
  return verdicts;
});

const record = Effect.fnUntraced(function* (
  database: MemoryDatabase.Database,
  claims: Claims,
  answers: ReadonlyArray<{ readonly key: IdempotencyKey; readonly answer: unknown }>,
): Effect.fn.Return<void, StoreError, Transaction> {
  const transaction = yield* MemoryDatabase.current(database, RECORD);
  const claimed = claims.get(transaction);
  for (const { key, answer } of answers) {
    // An answer is recorded once: the claim is used up.
    if (claimed?.delete(rowKey(key)) !== true) {
      return yield* MemoryDatabase.failure("Misuse", RECORD, "the key was not claimed in this transaction");
    }
    const text = MemoryState.textOf(answer);
    if (text === undefined) {
      return yield* MemoryDatabase.doom(transaction, MemoryDatabase.failure("Refused", RECORD, "the answer is not a JSON value"));
    }
    database.idempotencyKeys.put(rowKey(key), { fingerprint: key.fingerprint, claimedAt: transaction.now, answer: text });
  }
});

const rowKey = (key: IdempotencyKey): string => keyOf(key.scope, key.key);
