/**
 * `IdempotencyKeys` on a `MemoryDatabase`. Transactions run one after another, so there is never another open
 * one that a key could be in flight in: a concurrent request waits for its turn, and is repeated.
 *
 * A key that was claimed and committed without an answer is `Repeated` with null: its request took effect, so it must not
 * run again.
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
  Effect.map(MemoryDatabase.CurrentDatabase, (database) => ({
    claim: (keys) => FaultPoint.around(CLAIM, claim(database, keys)),
    record: (answers) => FaultPoint.around(RECORD, record(database, answers)),
    sweep: (before) =>
      FaultPoint.around(
        "IdempotencyKeys.sweep",
        Effect.sync(() => database.idempotencyKeys.removeCommittedWhere((row) => row.claimedAt < before)),
      ),
  })),
);

const CLAIM = "IdempotencyKeys.claim";
const RECORD = "IdempotencyKeys.record";

const claim = Effect.fnUntraced(function* (
  database: MemoryDatabase.Database,
  keys: ReadonlyArray<IdempotencyKey>,
): Effect.fn.Return<ReadonlyArray<IdempotencyVerdict>, StoreError, Transaction> {
  const transaction = yield* MemoryDatabase.current(database, CLAIM);
  const table = database.idempotencyKeys;
  const distinct = new Set(keys.map(rowKey));
  if (distinct.size < keys.length) return yield* MemoryDatabase.failure("Misuse", CLAIM, "the same key twice in one call");
  const verdicts: Array<IdempotencyVerdict> = [];
  for (const key of keys) {
    const row = table.get(rowKey(key));
    if (row === undefined) {
      table.put(rowKey(key), { fingerprint: key.fingerprint, claimedAt: transaction.now, answer: null });
      verdicts.push({ _tag: "New" });
    } else if (row.fingerprint !== key.fingerprint) {
      verdicts.push({ _tag: "Mismatch" });
    } else {
      verdicts.push({ _tag: "Repeated", answer: row.answer === null ? null : MemoryState.valueOf(row.answer) });
    }
  }
  return verdicts;
});

const record = Effect.fnUntraced(function* (
  database: MemoryDatabase.Database,
  answers: ReadonlyArray<{ readonly key: IdempotencyKey; readonly answer: unknown }>,
): Effect.fn.Return<void, StoreError, Transaction> {
  const transaction = yield* MemoryDatabase.current(database, RECORD);
  const table = database.idempotencyKeys;
  for (const { key, answer } of answers) {
    const row = table.get(rowKey(key));
    if (row === undefined || row.answer !== null || !table.isChanged(rowKey(key))) {
      return yield* MemoryDatabase.failure("Misuse", RECORD, "the key was not claimed in this transaction");
    }
    const text = MemoryState.textOf(answer);
    if (text === undefined) {
      return yield* MemoryDatabase.doom(transaction, MemoryDatabase.failure("Refused", RECORD, "the answer is not a JSON value"));
    }
    table.put(rowKey(key), { ...row, answer: text });
  }
});

const rowKey = (key: IdempotencyKey): string => keyOf(key.scope, key.key);
