/**
 * Saga instances, one document each. The store does not look inside `state`, but for which members it has where that is asked
 * for; it keeps name, version and status beside it for queries.
 */
import { Context, type Effect } from "effect";
import type { StoreError } from "./StoreError.ts";
import type { Transaction } from "./UnitOfWork.ts";

export interface SagaRecord {
  readonly saga: string;
  readonly version: number;
  /** The instance, unique within `saga`: the order's id. */
  readonly id: string;
  /** `running`, `compensating`, `completed`, `compensated`, `compensationFailed`. */
  readonly status: string;
  /** Counts the saves; the optimistic guard. The first save has 1. */
  readonly revision: number;
  /** JSON value. */
  readonly state: unknown;
}

/** Instances of a version that are not over. `has`: their state has the member. */
export interface LiveCount {
  readonly version: number;
  readonly has: boolean;
  readonly live: number;
}

/** What a version of a saga was when it first ran here. */
export interface SagaShapeRecord {
  readonly saga: string;
  readonly version: number;
  readonly fingerprint: string;
  /** JSON value, kept with its keys in their order. */
  readonly shape: unknown;
}

export class SagaStore extends Context.Service<
  SagaStore,
  {
    /** The instances of `ids` that exist, locked until the transaction ends, in key order. */
    readonly load: (saga: string, ids: ReadonlyArray<string>) => Effect.Effect<ReadonlyMap<string, SagaRecord>, StoreError, Transaction>;
    /** Inserts revision 1, updates revision n from n − 1. A lost race fails the transaction with `Contention`. */
    readonly save: (records: ReadonlyArray<SagaRecord>) => Effect.Effect<void, StoreError, Transaction>;
    /** Committed instances, without locks. */
    readonly find: (saga: string, ids: ReadonlyArray<string>) => Effect.Effect<ReadonlyMap<string, SagaRecord>, StoreError>;
    /** How many instances are in each status. */
    readonly count: (saga: string) => Effect.Effect<ReadonlyMap<string, number>, StoreError>;
    /** How many instances of each version are not over: `completed` and `compensated` ones are. */
    readonly countLive: (saga: string) => Effect.Effect<ReadonlyMap<number, number>, StoreError>;
    /** The same, at one moment, of those whose state is an object with this member and of the others, where there are any. */
    readonly countLiveBy: (saga: string, member: string) => Effect.Effect<ReadonlyArray<LiveCount>, StoreError>;
    /** Keeps shapes of versions that have none yet; where there is one, it stays as it is. */
    readonly keepShapes: (shapes: ReadonlyArray<SagaShapeRecord>) => Effect.Effect<void, StoreError, Transaction>;
    /** Committed shapes of a saga, and of its parts, whose names are `<saga>/<part>`; by name and version. */
    readonly shapes: (saga: string) => Effect.Effect<ReadonlyArray<SagaShapeRecord>, StoreError>;
  }
>()("@org/saga-core/ports/SagaStore") {}
