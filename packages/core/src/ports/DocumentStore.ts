/**
 * State of participants (payments, shipments, …): one JSON document a key, in the transaction of its decision. What
 * `SagaStore` is to the coordinator, this is to everyone else who brings a decider and no tables of their own.
 */
import { Context, type Effect } from "effect";
import type { StoreError } from "./StoreError.ts";
import type { Transaction } from "./UnitOfWork.ts";

export interface Document {
  /** What kind of thing, e.g. `payment`. */
  readonly kind: string;
  readonly id: string;
  /** Counts the saves; the optimistic guard. The first save has 1. */
  readonly revision: number;
  /** JSON value. */
  readonly state: unknown;
}

export class DocumentStore extends Context.Service<
  DocumentStore,
  {
    /** The documents of `ids` that exist, locked until the transaction ends, in key order. */
    readonly load: (kind: string, ids: ReadonlyArray<string>) => Effect.Effect<ReadonlyMap<string, Document>, StoreError, Transaction>;
    /** Inserts revision 1, updates revision n from n − 1. A lost race fails the transaction with `Contention`. */
    readonly save: (documents: ReadonlyArray<Document>) => Effect.Effect<void, StoreError, Transaction>;
    /** Committed documents, without locks. */
    readonly find: (kind: string, ids: ReadonlyArray<string>) => Effect.Effect<ReadonlyMap<string, Document>, StoreError>;
  }
>()("@org/saga-core/ports/DocumentStore") {}
