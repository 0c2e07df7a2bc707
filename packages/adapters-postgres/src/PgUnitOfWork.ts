/**
 * `UnitOfWork` on PostgreSQL: one transaction on one connection.
 *
 * A commit whose answer was lost is settled before anybody hears of it: the server is asked by transaction id. Only if it
 * cannot tell (gone for good, or failed over to another server) does the caller get `Unknown`.
 *
 *   begin → body → COMMIT ─ answered ───────────────→ committed
 *                     └──── lost → pg_xact_status ──→ committed | aborted: `Unavailable`, nothing happened | `Unknown`
 */
import { StoreError, Transaction, UnitOfWork } from "@org/saga-core";
import { Clock, Duration, Effect, Exit, Layer, Option, Result } from "effect";
import { PgClient } from "./PgClient.ts";
import { LIFE, type PgDriver, type PgSession } from "./PgDriver.ts";
import * as PgError from "./PgError.ts";
import * as PgTransaction from "./PgTransaction.ts";

export const layer: Layer.Layer<UnitOfWork, never, PgClient> = Layer.effect(
  UnitOfWork,
  Effect.map(PgClient, (client) => ({ commit: (body) => commit(client.driver, body) })),
);

const OPERATION = "UnitOfWork.commit";

/** How often the server is asked about a lost COMMIT. */
const SETTLE_EVERY_MS = 200;

const commit = Effect.fnUntraced(function* <A, E, R>(
  driver: PgDriver,
  body: Effect.Effect<A, E, R>,
): Effect.fn.Return<A, E | StoreError, Exclude<R, Transaction>> {
  const outer = yield* Effect.serviceOption(Transaction);
  if (Option.isSome(outer) && !(outer.value instanceof PgTransaction.PgTransaction && outer.value.closed)) {
    return yield* PgTransaction.failure("Misuse", OPERATION, "commits are not nested");
  }
  return yield* transact(driver, body);
});

const transact = <A, E, R>(driver: PgDriver, body: Effect.Effect<A, E, R>): Effect.Effect<A, E | StoreError, Exclude<R, Transaction>> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      const session = yield* begin(driver, OPERATION, restore);
      const transaction = new PgTransaction.PgTransaction(driver, session);
      const exit = yield* Effect.exit(restore(Effect.provideService(body, Transaction, transaction)));
      transaction.closed = true;
      if (Exit.isSuccess(exit) && transaction.doomed === null) {
        yield* commitSession(driver, session);
        for (const hook of transaction.afterCommit) hook();
        return exit.value;
      }
      yield* Effect.promise(() => session.rollback());
      if (Exit.isFailure(exit)) return yield* exit;
      return yield* transaction.doomed ?? PgTransaction.failure("Contention", OPERATION, "rolled back");
    }),
  );

/** An open transaction. Waiting for a connection can be interrupted; one that comes later is given back. */
export const begin = (
  driver: PgDriver,
  operation: string,
  restore: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>,
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
      driver.begin().then(
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

const commitSession = Effect.fnUntraced(function* (driver: PgDriver, session: PgSession): Effect.fn.Return<void, StoreError> {
  const ended = yield* Effect.result(
    Effect.tryPromise({ try: () => session.commit(), catch: (cause) => PgError.classify(OPERATION, "commit", cause) }),
  );
  if (Result.isSuccess(ended)) {
    // A statement failed outside of the stores' sight, e.g. a user's own on the native handle.
    if (ended.success === "RolledBack") return yield* PgTransaction.failure("Refused", OPERATION, "a statement had failed: rolled back");
    return;
  }
  if (ended.failure.reason !== "Unknown") return yield* ended.failure;
  yield* settle(driver, session, ended.failure);
});

interface StatusRow {
  readonly status: string | null;
  readonly life: string;
}

/**
 * How did it end? `in progress` is asked again: a server may notice late that its client is gone. A server that was started
 * anew, or recovered from a crash, may have given the id to another transaction, so it cannot tell.
 */
const settle = Effect.fnUntraced(function* (driver: PgDriver, session: PgSession, lost: StoreError): Effect.fn.Return<void, StoreError> {
  const end = (yield* Clock.currentTimeMillis) + Duration.toMillis(driver.settleTimeout);
  for (;;) {
    const asked = yield* Effect.exit(
      Effect.tryPromise(() => driver.query<StatusRow>(`select pg_xact_status($1::xid8) as status, ${LIFE} as life`, [session.xid])),
    );
    const row = Exit.isSuccess(asked) ? asked.value.rows[0] : undefined;
    if (row !== undefined) {
      if (row.life !== session.life || row.status === null) return yield* lost;
      if (row.status === "committed") return;
      if (row.status === "aborted")
        return yield* PgTransaction.failure("Unavailable", OPERATION, `${lost.message}; the commit did not happen`);
    }
    if ((yield* Clock.currentTimeMillis) >= end) return yield* lost;
    yield* Effect.sleep(SETTLE_EVERY_MS);
  }
});
