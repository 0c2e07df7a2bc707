/** `Lock` on a `MemoryDatabase`. A lease ends when the clock passes it, whether its owner is alive or not. */
import { Effect, Layer } from "effect";
import { type Lease, Lock } from "../ports/Lock.ts";
import * as FaultPoint from "./FaultPoint.ts";
import * as MemoryDatabase from "./MemoryDatabase.ts";

export const layer: Layer.Layer<Lock, never, MemoryDatabase.CurrentDatabase> = Layer.effect(
  Lock,
  Effect.map(MemoryDatabase.CurrentDatabase, (database) => ({
    acquire: (name, owner, ttlMillis) => FaultPoint.around("Lock.acquire", acquire(database, name, owner, ttlMillis)),
    renew: (lease, ttlMillis) => FaultPoint.around("Lock.renew", renew(database, lease, ttlMillis)),
    release: (lease) => FaultPoint.around("Lock.release", release(database, lease)),
  })),
);

const acquire = Effect.fnUntraced(function* (database: MemoryDatabase.Database, name: string, owner: string, ttlMillis: number) {
  const now = yield* MemoryDatabase.now;
  const row = database.leases.committed.get(name);
  if (row !== undefined && row.until > now && row.owner !== owner) return null;
  const fence = (row?.fence ?? 0) + 1;
  database.leases.putCommitted(name, { owner, fence, until: now + ttlMillis });
  const lease: Lease = { name, owner, fence };
  return lease;
});

const renew = Effect.fnUntraced(function* (database: MemoryDatabase.Database, lease: Lease, ttlMillis: number) {
  const now = yield* MemoryDatabase.now;
  if (!isHeld(database, lease, now)) return "Lost" as const;
  database.leases.putCommitted(lease.name, { owner: lease.owner, fence: lease.fence, until: now + ttlMillis });
  return "Renewed" as const;
});

const release = Effect.fnUntraced(function* (database: MemoryDatabase.Database, lease: Lease) {
  const now = yield* MemoryDatabase.now;
  // The row stays, with its fence: the next acquisition has to get a greater one.
  if (isHeld(database, lease, now)) database.leases.putCommitted(lease.name, { owner: lease.owner, fence: lease.fence, until: now });
});

const isHeld = (database: MemoryDatabase.Database, lease: Lease, now: number): boolean => {
  const row = database.leases.committed.get(lease.name);
  return row !== undefined && row.fence === lease.fence && row.owner === lease.owner && row.until > now;
};
