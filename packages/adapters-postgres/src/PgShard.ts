/**
 * Owning a shard of the outbox for as long as a body runs: by a transaction that holds the shard's advisory lock, so that
 * the shard is free when its owner's connection ends, however it ends.
 *
 * PGlite has one connection, and must not keep a transaction open while others write: there the owner is a name in the
 * process, and each statement commits by itself.
 */
import { Shard, type StoreError } from "@org/saga-core";
import { Effect, Exit } from "effect";
import { attempt, type PgClient } from "./PgClient.ts";
import type { PgResult, PgValue } from "./PgDriver.ts";
import * as PgTransaction from "./PgTransaction.ts";
import { begin } from "./PgUnitOfWork.ts";

/** Runs a statement where the shard is owned. */
export type Run = <Row extends object>(text: string, values: ReadonlyArray<PgValue>) => Effect.Effect<PgResult<Row>, StoreError>;

/**
 * Whether the shard is owned. Statements that only read may be run beside it, in the same round trip: the database runs them after
 * the lock was tried. What they found is to be thrown away when it is not.
 */
export type Owned = Effect.Effect<boolean, StoreError>;

/** Lets an effect be interrupted inside of a body that is not. */
export type Restore = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>;

/**
 * Runs `body` as the owner of `shard`, unless `own`, the statement that takes the lock, answers `owned: false`.
 * If `body` fails, its statements are rolled back.
 */
export const owning = <A, E, R>(
  client: PgClient["Service"],
  own: string,
  operation: string,
  shard: number,
  body: (run: Run, owned: Owned, restore: Restore) => Effect.Effect<A, E, R>,
): Effect.Effect<A, E | StoreError, R> =>
  Effect.flatMap(PgTransaction.open, (open): Effect.Effect<A, E | StoreError, R> => {
    if (open !== null) return Effect.fail(PgTransaction.failure("Misuse", operation, "a shard cannot be taken inside of a transaction"));
    return client.driver.kind === "Pool" ? byTransaction(client, own, operation, shard, body) : byName(client, operation, shard, body);
  });

const byTransaction = <A, E, R>(
  client: PgClient["Service"],
  own: string,
  operation: string,
  shard: number,
  body: (run: Run, owned: Owned, restore: Restore) => Effect.Effect<A, E, R>,
): Effect.Effect<A, E | StoreError, R> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      const session = yield* begin(client.driver, operation, restore);
      const run: Run = (text, values) => attempt(operation, () => session.query(text, values));
      const tried = run<{ readonly owned: boolean }>(own, [lockClass(client.tables), shard]);
      const owned = Effect.map(tried, ({ rows }) => rows[0]?.owned === true);
      const exit = yield* Effect.exit(body(run, owned, restore));
      if (Exit.isFailure(exit)) {
        yield* Effect.promise(() => session.rollback());
        return yield* exit;
      }
      // Lost or not: what was marked is done, what was not is found again. So nothing here is `Unknown`.
      yield* attempt(operation, () => session.commit());
      return exit.value;
    }),
  );

const byName = <A, E, R>(
  client: PgClient["Service"],
  operation: string,
  shard: number,
  body: (run: Run, owned: Owned, restore: Restore) => Effect.Effect<A, E, R>,
): Effect.Effect<A, E, R> => {
  const { ownedShards } = client.driver;
  const name = `${client.tables}/${shard}`;
  const run: Run = (text, values) => client.query(operation, text, values);
  return Effect.uninterruptibleMask((restore) =>
    Effect.suspend(() => {
      if (ownedShards.has(name)) return body(run, Effect.succeed(false), restore);
      ownedShards.add(name);
      return Effect.ensuring(
        body(run, Effect.succeed(true), restore),
        Effect.sync(() => ownedShards.delete(name)),
      );
    }),
  );
};

/** Advisory locks belong to the database: the first number keeps its outboxes, and other users, apart. */
const lockClass = (tables: string): number => Shard.fnv1a(`saga-outbox:${tables}`) | 0;
