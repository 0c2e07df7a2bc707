/**
 * Owning a shard of an outbox or of a queue for as long as a body runs: by a transaction that holds the shard's advisory lock, so
 * that the shard is free when its owner's connection ends, however it ends.
 *
 * PGlite has one connection, and must not keep a transaction open while others write: there the owner is a name in the
 * process, and what it does in between commits by itself.
 */
import { Shard, type StoreError, Transaction } from "@org/saga-core";
import { Duration, Effect, Exit, Option } from "effect";
import { attempt, type PgClient } from "./PgClient.ts";
import type { PgResult, PgSession, PgValue } from "./PgDriver.ts";
import * as PgError from "./PgError.ts";
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
   * Takes the shard; null, if it has another owner. `look` only reads, and is sent with it: the database runs it after the lock was
   * tried.
   */
  readonly own: <A>(look: Effect.Effect<A, StoreError>) => Effect.Effect<A | null, StoreError>;
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

/** A transaction that was begun behind a commit (`PgSession.beginBehind`). */
export interface Follower {
  readonly session: PgSession;
  /** To be called when it is not waited for: whoever hears of the commit has to take the shard anew. */
  readonly giveUp: () => void;
}

/** What follows a commit to this shard, if one is on its way. */
export type Behind = () => Follower | null;

/** Commits take milliseconds. Behind one that takes longer nobody waits for the shard: others may have work in others. */
const BEHIND_AT_MOST = Duration.millis(100);

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
  behind: Behind = () => null,
): Effect.Effect<A, E | StoreError, R> =>
  Effect.flatMap(PgTransaction.open, (open): Effect.Effect<A, E | StoreError, R> => {
    if (open !== null) return Effect.fail(PgTransaction.failure("Misuse", operation, "a shard cannot be taken inside of a transaction"));
    if (client.driver.kind === "Pool") return byTransaction(client, locks, operation, shard, body, behind);
    const run: Run = (text, values) => client.query(operation, text, values);
    const within: Within = (part) => PgUnitOfWork.commit(client, part);
    return byName(client, locks, [shard], (owned, restore) =>
      body({ own: (look) => (owned ? look : Effect.succeed(null)), run, within, restore }),
    );
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
  behind: Behind,
): Effect.Effect<A, E | StoreError, R> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      // The lock, and what is read beside it, travel with BEGIN.
      const follower = behind();
      const session = follower?.session ?? (yield* PgUnitOfWork.begin(client.driver, operation, restore, undefined, "sent"));
      const transaction = new PgTransaction.PgTransaction(client.driver, session);
      const run: Run = <Row extends object>(text: string, values: ReadonlyArray<PgValue>) =>
        Effect.tryPromise({
          try: () => session.query<Row>(text, values),
          catch: (cause) => PgError.classify(operation, "statement", cause),
        });
      const within: Within = (part) => Effect.provideService(part, Transaction, transaction);
      const own: Owner["own"] = (look) => {
        const tried = run<{ readonly owned: boolean }>(locks.own, [classOf(locks), shard]);
        const taken = Effect.map(Effect.all([tried, look], { concurrency: "unbounded" }), ([{ rows }, found]) =>
          rows[0]?.owned === true ? found : null,
        );
        return follower === null ? taken : restore(Effect.map(Effect.timeoutOption(taken, BEHIND_AT_MOST), Option.getOrNull));
      };
      const exit = yield* Effect.exit(body({ own, run, within, restore }));
      transaction.closed = true;
      const isBegun = session.now > 0;
      if (Exit.isFailure(exit) || !isBegun) {
        const ended = session.rollback();
        // Whoever did not wait for BEGIN does not wait for its end.
        if (isBegun) yield* Effect.promise(() => ended);
        else follower?.giveUp();
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
