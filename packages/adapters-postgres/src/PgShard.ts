/**
 * Owning a shard of an outbox or of a queue for as long as a body runs: by a transaction that holds the shard's advisory lock, so
 * that the shard is free when its owner's connection ends, however it ends.
 *
 * PGlite has one connection, and must not keep a transaction open while others write: there the owner is a name in the
 * process, and what it does in between commits by itself.
 */
import { Shard, type StoreError, Transaction } from "@org/saga-core";
import { Effect, Exit } from "effect";
import { attempt, type PgClient } from "./PgClient.ts";
import type { PgResult, PgValue } from "./PgDriver.ts";
import * as PgTransaction from "./PgTransaction.ts";
import * as PgUnitOfWork from "./PgUnitOfWork.ts";

/** The locks of an outbox's or a queue's shards. */
export interface Locks {
  readonly name: string;
  /** Statement that takes the lock of two numbers, for `owning` with an answer `owned`. */
  readonly own: string;
}

/**
 * Advisory locks belong to the database: the hash of a name, their first number, keeps its outboxes, its queues, and other users,
 * apart. Processes of other versions take the same locks: names never change.
 */
export const ofOutbox = (tables: string): string => `saga-outbox:${tables}`;
export const ofQueue = (tables: string, consumer: string): string => `saga-inbox:${tables}:${consumer}`;

export interface Owner {
  /**
   * Whether the shard is owned. Statements that only read may be run beside it, in the same round trip: the database runs them
   * after the lock was tried. What they found is to be thrown away when it is not.
   */
  readonly owned: Effect.Effect<boolean, StoreError>;
  readonly run: Run;
  readonly within: Within;
  readonly restore: Restore;
}

/** Runs a statement where the shard is owned. */
export type Run = <Row extends object>(text: string, values: ReadonlyArray<PgValue>) => Effect.Effect<PgResult<Row>, StoreError>;

/** Runs what needs a `Transaction` in the owner's. */
export type Within = <A>(part: Effect.Effect<A, StoreError, Transaction>) => Effect.Effect<A, StoreError>;

/** Lets an effect be interrupted inside of a body that is not. */
export type Restore = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>;

type Body<A, E, R> = (owner: Owner) => Effect.Effect<A, E, R>;

/**
 * Runs `body` as the owner of `shard`, if it is one. If `body` fails, its statements are rolled back.
 *
 * An answer to COMMIT that was lost is a failure, never `Unknown`: for bodies that find again what was not marked.
 */
export const owning = <A, E, R>(
  client: PgClient["Service"],
  locks: Locks,
  operation: string,
  shard: number,
  body: Body<A, E, R>,
): Effect.Effect<A, E | StoreError, R> =>
  Effect.flatMap(PgTransaction.open, (open): Effect.Effect<A, E | StoreError, R> => {
    if (open !== null) return Effect.fail(PgTransaction.failure("Misuse", operation, "a shard cannot be taken inside of a transaction"));
    if (client.driver.kind === "Pool") return byTransaction(client, locks, operation, shard, body);
    const run: Run = (text, values) => client.query(operation, text, values);
    const within: Within = (part) => PgUnitOfWork.commit(client, part);
    return byName(client, locks, [shard], (owned, restore) => body({ owned: Effect.succeed(owned), run, within, restore }));
  });

/**
 * Runs `body` in one commit of `UnitOfWork`, as the owner of all of `shards` (ascending, so that two of them never wait for each
 * other), for which it waits: at most the lock timeout, then `Contention`. So its end is known as that of any commit, also when the
 * answer to COMMIT is lost.
 */
export const committing = <A>(
  client: PgClient["Service"],
  locks: Locks,
  operation: string,
  shards: ReadonlyArray<number>,
  body: Effect.Effect<A, StoreError, Transaction>,
): Effect.Effect<A, StoreError> => {
  const commit = <B>(part: Effect.Effect<B, StoreError, Transaction>) => PgUnitOfWork.commit(client, part);
  const busy = PgTransaction.failure("Contention", operation, "a relay is publishing the shard");
  if (client.driver.kind !== "Pool") return byName(client, locks, shards, (owned) => (owned ? commit(body) : Effect.fail(busy)));
  const taking = Effect.forEach(shards, (shard) => client.within(operation, locks.own, [classOf(locks), shard]), { discard: true });
  return commit(Effect.andThen(taking, body));
};

const byTransaction = <A, E, R>(
  client: PgClient["Service"],
  locks: Locks,
  operation: string,
  shard: number,
  body: Body<A, E, R>,
): Effect.Effect<A, E | StoreError, R> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      // The lock, and what is read beside it, travel with BEGIN.
      const session = yield* PgUnitOfWork.begin(client.driver, operation, restore, undefined, "sent");
      const transaction = new PgTransaction.PgTransaction(client.driver, session);
      const run: Run = (text, values) => attempt(operation, () => session.query(text, values));
      const within: Within = (part) => Effect.provideService(part, Transaction, transaction);
      const tried = run<{ readonly owned: boolean }>(locks.own, [classOf(locks), shard]);
      const owned = Effect.map(tried, ({ rows }) => rows[0]?.owned === true);
      const exit = yield* Effect.exit(body({ owned, run, within, restore }));
      transaction.closed = true;
      if (Exit.isFailure(exit)) {
        yield* Effect.promise(() => session.rollback());
        return yield* exit;
      }
      yield* attempt(operation, () => session.commit());
      return exit.value;
    }),
  );

const byName = <A, E, R>(
  client: PgClient["Service"],
  { name }: Locks,
  shards: ReadonlyArray<number>,
  body: (owned: boolean, restore: Restore) => Effect.Effect<A, E, R>,
): Effect.Effect<A, E, R> => {
  const { ownedShards } = client.driver;
  const names = shards.map((shard) => `${name}/${shard}`);
  return Effect.uninterruptibleMask((restore) =>
    Effect.suspend(() => {
      if (names.some((each) => ownedShards.has(each))) return body(false, restore);
      for (const each of names) ownedShards.add(each);
      return Effect.ensuring(
        body(true, restore),
        Effect.sync(() => {
          for (const each of names) ownedShards.delete(each);
        }),
      );
    }),
  );
};

const classOf = ({ name }: Locks): number => Shard.fnv1a(name) | 0;
