/** Answers given to requests, by the key their caller chose (IETF Idempotency-Key), in the transaction of the request. */
import { Context, type Effect } from "effect";
import type { Timestamp } from "../domain/Timestamp.ts";
import type { StoreError } from "./StoreError.ts";
import type { Transaction } from "./UnitOfWork.ts";

export interface IdempotencyKey {
  /** Who asks; keys of different callers never meet. */
  readonly scope: string;
  readonly key: string;
  /** Digest of method, path and body. */
  readonly fingerprint: string;
}

export type IdempotencyVerdict =
  | { readonly _tag: "New" }
  /** Same key, same fingerprint: the first answer again. */
  | { readonly _tag: "Repeated"; readonly answer: unknown }
  /** Same key, another request. */
  | { readonly _tag: "Mismatch" }
  /** Another transaction has claimed the key and is still open: ask again, in a transaction of its own. */
  | { readonly _tag: "InFlight" };

export class IdempotencyKeys extends Context.Service<
  IdempotencyKeys,
  {
    /**
     * One verdict per key, in order; `New` keys are claimed by this transaction, until it ends: by its commit, by its
     * rollback, or with its connection. One whose answer was not recorded by then is free again.
     *
     * Nobody waits: a key that another open transaction has claimed is `InFlight`, is not claimed, and holds up none of its
     * neighbours. (A store that runs one transaction at a time has no other open one.) The same key twice in one call: the
     * second one is not yet answered, so the caller must not pass duplicates (refused with `Misuse`).
     */
    readonly claim: (keys: ReadonlyArray<IdempotencyKey>) => Effect.Effect<ReadonlyArray<IdempotencyVerdict>, StoreError, Transaction>;
    /** Records the answers (JSON values) of keys claimed in this transaction. */
    readonly record: (
      answers: ReadonlyArray<{ readonly key: IdempotencyKey; readonly answer: unknown }>,
    ) => Effect.Effect<void, StoreError, Transaction>;
    /** Forgets keys claimed before `before`; returns how many. */
    readonly sweep: (before: Timestamp) => Effect.Effect<number, StoreError>;
  }
>()("@org/saga-core/ports/IdempotencyKeys") {}
