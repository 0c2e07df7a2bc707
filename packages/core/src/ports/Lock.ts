/**
 * A lease with a fencing token, for single pullers and sweepers. It saves work; safety never rests on it alone, because a
 * frozen owner may wake up after its lease. Whoever writes under a lease passes the token along.
 */
import { Context, type Effect } from "effect";
import type { StoreError } from "./StoreError.ts";

export interface Lease {
  readonly name: string;
  readonly owner: string;
  /** Grows with every acquisition of `name`. */
  readonly fence: number;
}

export class Lock extends Context.Service<
  Lock,
  {
    /** The lease, or null while another owner's is running. The same owner gets its lease again, with a new fence. */
    readonly acquire: (name: string, owner: string, ttlMillis: number) => Effect.Effect<Lease | null, StoreError>;
    /** Longer, if the lease is still this one. */
    readonly renew: (lease: Lease, ttlMillis: number) => Effect.Effect<"Renewed" | "Lost", StoreError>;
    /** Ends the lease if it is still this one. */
    readonly release: (lease: Lease) => Effect.Effect<void, StoreError>;
  }
>()("@org/saga-core/ports/Lock") {}
