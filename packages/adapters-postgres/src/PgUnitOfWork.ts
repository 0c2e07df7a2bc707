/**
 * `UnitOfWork` on PostgreSQL: one transaction on one connection.
 *
 * A commit whose answer was lost is settled before anybody hears of it: the server is asked by the row that the transaction
 * inserted first (`PgBatches`), also after it was restarted or failed over. Only if it cannot be asked within
 * `settleTimeout` does the caller get `Unknown`.
 *
 *   begin + row → body → COMMIT ─ answered ─────────→ committed
 *                           └──── lost → the row? ──→ committed | absent: `Unavailable`, nothing happened | `Unknown`
 *
 * PGlite has no row: it is inside the process, so no answer of its gets lost.
 */
import { StoreError, Transaction, UnitOfWork } from "@org/saga-core";
import { Clock, Duration, Effect, Exit, Layer, Option, Result } from "effect";
import * as PgBatches from "./PgBatches.ts";
import { PgClient } from "./PgClient.ts";
import { CLOCK, type PgDriver, type PgSession } from "./PgDriver.ts";
import * as PgError from "./PgError.ts";
import * as PgTransaction from "./PgTransaction.ts";

export const layer: Layer.Layer<UnitOfWork, never, PgClient> = Layer.effect(
  UnitOfWork,
  Effect.gen(function* () {
    const client = yield* PgClient;
    if (client.driver.kind === "Pool") yield* Effect.forkScoped(PgBatches.sweeping(client));
    return { commit: (body) => commit(client, body) };
  }),
);

const OPERATION = "UnitOfWork.commit";

/** `UnitOfWork.commit`. */
export const commit = Effect.fnUntraced(function* <A, E, R>(
  client: PgClient["Service"],
  body: Effect.Effect<A, E, R>,
): Effect.fn.Return<A, E | StoreError, Exclude<R, Transaction>> {
  const outer = yield* Effect.serviceOption(Transaction);
  if (Option.isSome(outer) && !(outer.value instanceof PgTransaction.PgTransaction && outer.value.closed)) {
    return yield* PgTransaction.failure("Misuse", OPERATION, "commits are not nested");
  }
  return yield* transact(client, body);
});

const transact = <A, E, R>(
  client: PgClient["Service"],
  body: Effect.Effect<A, E, R>,
): Effect.Effect<A, E | StoreError, Exclude<R, Transaction>> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      const { driver } = client;
      const batch = driver.kind === "Pool" ? PgBatches.nextId() : null;
      const session = yield* begin(driver, OPERATION, restore, batch === null ? undefined : PgBatches.insert(client, batch));
      const transaction = new PgTransaction.PgTransaction(driver, session);
      const exit = yield* Effect.exit(restore(Effect.provideService(body, Transaction, transaction)));
      transaction.closed = true;
      if (Exit.isSuccess(exit) && transaction.doomed === null) {
        yield* commitSession(client, transaction, batch);
        return exit.value;
      }
      yield* Effect.promise(() => session.rollback());
      if (Exit.isFailure(exit)) return yield* exit;
      return yield* transaction.doomed ?? PgTransaction.failure("Contention", OPERATION, "rolled back");
    }),
  );

/** An open transaction; `first` is its first statement, `until` as in `PgDriver`. Waiting for a connection can be interrupted; one that comes later is given back. */
export const begin = (
  driver: PgDriver,
  operation: string,
  restore: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>,
  first: string = CLOCK,
  until: "begun" | "sent" = "begun",
): Effect.Effect<PgSession, StoreError> =>
  Effect.suspend(() => {
    let opened: PgSession | null = null;
    let isAbandoned = false;
    const abandon = Effect.suspend(() => {
      isAbandoned = true;
      const session = opened;
      return session === null ? Effect.void : Effect.promise(() => session.rollback());
    });
    const connecting = Effect.callback<PgSession, StoreError>((resume) => {
      driver.begin(first, until).then(
        (session) => {
          opened = session;
          if (isAbandoned) return session.rollback();
          resume(Effect.succeed(session));
          return undefined;
        },
        (cause: unknown) => resume(Effect.fail(PgError.classify(operation, "statement", cause))),
      );
    });
    return Effect.onInterrupt(restore(connecting), () => abandon);
  });

const commitSession = Effect.fnUntraced(function* (
  client: PgClient["Service"],
  { session, atCommit }: PgTransaction.PgTransaction,
  batch: string | null,
): Effect.fn.Return<void, StoreError> {
  let committed: ReadonlyArray<() => void> = [];
  const ended = yield* Effect.result(
    Effect.tryPromise({
      try: () => {
        const answer = session.commit();
        committed = [...atCommit].map((sent) => sent());
        return answer;
      },
      catch: (cause) => PgError.classify(OPERATION, "commit", cause),
    }),
  );
  // A statement failed outside of the stores' sight, e.g. a user's own on the native handle.
  if (Result.isSuccess(ended) && ended.success === "RolledBack") {
    return yield* PgTransaction.failure("Refused", OPERATION, "a statement had failed: rolled back");
  }
  if (Result.isFailure(ended)) {
    if (ended.failure.reason !== "Unknown" || batch === null) return yield* ended.failure;
    yield* settle(client, session, batch, ended.failure);
  }
  for (const each of committed) each();
});

/** How often the server is asked about a lost COMMIT while it does not answer. */
const SETTLE_EVERY_MS = 200;

/** Asks until there is an answer: the server may be starting, or the original still be running there, its client's loss unnoticed. */
const settle = Effect.fnUntraced(function* (
  client: PgClient["Service"],
  session: PgSession,
  batch: string,
  lost: StoreError,
): Effect.fn.Return<void, StoreError> {
  // Not by the time of day: where it is set forth, nobody would hear of the answer, and where it is set back, they wait for hours.
  const end = (yield* Clock.monotonicTimeNanos) + Duration.toNanosUnsafe(client.driver.settleTimeout);
  for (;;) {
    const asked = yield* Effect.result(PgBatches.ask(client, OPERATION, batch, session.now));
    if (Result.isSuccess(asked)) {
      if (asked.success === "Committed") return;
      if (asked.success === "TooLate") return yield* lost;
      return yield* PgTransaction.failure("Unavailable", OPERATION, `${lost.message}; the commit did not happen`);
    }
    if ((yield* Clock.monotonicTimeNanos) >= end) return yield* lost;
    yield* Effect.sleep(SETTLE_EVERY_MS);
  }
});
