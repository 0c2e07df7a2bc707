/**
 * What the relays of this process know without asking: the shards to which it has committed something, and the one to which a commit
 * is on its way. A relay that rests takes that shard behind the commit, on its connection, and has what was committed right after
 * its answer: from there to the message's handler it takes two thirds of the time (measured).
 */
import { Effect } from "effect";
import type { PgSession } from "./PgDriver.ts";
import type { Follower } from "./PgShard.ts";
import type { PgTransaction } from "./PgTransaction.ts";
import type { Wakeup } from "./PgWakeup.ts";

export interface OutboxNews {
  /** The open transaction has appended to `shards`. */
  readonly appended: (transaction: PgTransaction, shards: ReadonlyArray<number>) => void;
  /** Runs `wait`, in which a relay rests; then gives the shards that are known. */
  readonly rest: <E>(wait: Effect.Effect<void, E>) => Effect.Effect<ReadonlyArray<number>, E>;
  /** What follows the commit that is on its way to `shard`, if there is one. */
  readonly behind: (shard: number) => Follower | null;
}

interface Coming {
  readonly shard: number;
  readonly session: PgSession;
  /** A drain waits behind it, so that no other relay of this process has to be woken. */
  isFollowed: boolean;
}

export const make = (wakeup: Wakeup): OutboxNews => {
  const open = new WeakMap<PgTransaction, Set<number>>();
  let committed = new Set<number>();
  let coming: Coming | null = null;
  let resting = 0;

  const sent = (session: PgSession, shards: ReadonlySet<number>) => {
    const [shard] = shards;
    const isFollowable = session.native._tag === "Pool" && resting > 0 && shards.size === 1;
    const mine = isFollowable && shard !== undefined ? { shard, session, isFollowed: false } : null;
    if (mine !== null) {
      coming = mine;
      wakeup.latch.openUnsafe();
    }
    return (): void => {
      if (mine?.isFollowed === true) return wakeup.announce();
      for (const each of shards) committed.add(each);
      wakeup.kick();
    };
  };

  const known = (): ReadonlyArray<number> => {
    if (coming !== null) committed.add(coming.shard);
    const shards = [...committed];
    committed = new Set();
    return shards;
  };

  return {
    appended: (transaction, shards) => {
      const before = open.get(transaction);
      const all = before ?? new Set();
      for (const shard of shards) all.add(shard);
      if (before !== undefined) return;
      open.set(transaction, all);
      transaction.atCommit.add(() => sent(transaction.session, all));
    },
    rest: (wait) =>
      Effect.map(
        Effect.acquireUseRelease(
          Effect.sync(() => {
            resting += 1;
          }),
          () => wait,
          () =>
            Effect.sync(() => {
              resting -= 1;
            }),
        ),
        known,
      ),
    behind: (shard) => {
      if (coming?.shard !== shard) return null;
      const followed = coming;
      coming = null;
      const session = followed.session.beginBehind();
      if (session === null) return null;
      followed.isFollowed = true;
      return {
        session,
        giveUp: () => {
          followed.isFollowed = false;
        },
      };
    },
  };
};
