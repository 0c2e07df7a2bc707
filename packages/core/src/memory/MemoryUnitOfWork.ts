/**
 * `UnitOfWork` on a `MemoryDatabase`. Interruption is safe at every point: while it waits for its turn nothing has begun,
 * while the body runs it rolls back, and the commit itself is one synchronous step.
 *
 * Fault points: `UnitOfWork.commit.begin`, `.beforeCommit` (all was written, nothing is committed) and `.afterCommit`
 * (committed, and the caller does not know).
 */
import { Effect, Exit, Layer, Option } from "effect";
import { Transaction, UnitOfWork } from "../ports/UnitOfWork.ts";
import type { StoreError } from "../ports/StoreError.ts";
import * as FaultPoint from "./FaultPoint.ts";
import * as MemoryDatabase from "./MemoryDatabase.ts";

export const layer: Layer.Layer<UnitOfWork, never, MemoryDatabase.CurrentDatabase> = Layer.effect(
  UnitOfWork,
  Effect.map(MemoryDatabase.CurrentDatabase, (database) => ({ commit: (body) => commit(database, body) })),
);

const OPERATION = "UnitOfWork.commit";

const commit = Effect.fnUntraced(function* <A, E, R>(
  database: MemoryDatabase.Database,
  body: Effect.Effect<A, E, R>,
): Effect.fn.Return<A, E | StoreError, Exclude<R, Transaction>> {
  const outer = yield* Effect.serviceOption(Transaction);
  if (Option.isSome(outer) && !(outer.value instanceof MemoryDatabase.MemoryTransaction && outer.value.closed)) {
    return yield* MemoryDatabase.failure("Misuse", OPERATION, "commits are not nested");
  }
  yield* FaultPoint.hit(`${OPERATION}.begin`);
  const answer = yield* database.exclusively(transact(database, body));
  yield* FaultPoint.hit(`${OPERATION}.afterCommit`);
  return answer;
});

const transact = <A, E, R>(
  database: MemoryDatabase.Database,
  body: Effect.Effect<A, E, R>,
): Effect.Effect<A, E | StoreError, Exclude<R, Transaction>> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      const transaction = new MemoryDatabase.MemoryTransaction(database, yield* MemoryDatabase.now);
      const written = Effect.tap(body, () => FaultPoint.hit(`${OPERATION}.beforeCommit`));
      const exit = yield* Effect.exit(restore(Effect.provideService(written, Transaction, transaction)));
      transaction.closed = true;
      if (Exit.isFailure(exit) || transaction.doomed !== null) yield* database.drop();
      else yield* database.apply();
      if (transaction.doomed !== null && Exit.isSuccess(exit)) return yield* transaction.doomed;
      return yield* exit;
    }),
  );
