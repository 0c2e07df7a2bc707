/** Which messages were handled already (G6). Admission is part of the handler's transaction. */
import { Context, type Effect } from "effect";
import type { Timestamp } from "../domain/Timestamp.ts";
import type { StoreError } from "./StoreError.ts";
import type { Transaction } from "./UnitOfWork.ts";

export type Verdict = "First" | "Duplicate";

export class Inbox extends Context.Service<
  Inbox,
  {
    /**
     * One verdict per id, in order. An id that occurs twice in one call is `First`, then `Duplicate`. A concurrent
     * transaction that admits the same id waits until this one ends, and is `Duplicate` only if this one commits.
     */
    readonly admit: (consumer: string, messageIds: ReadonlyArray<string>) => Effect.Effect<ReadonlyArray<Verdict>, StoreError, Transaction>;
    /** Forgets messages admitted before `before`; returns how many. */
    readonly sweep: (before: Timestamp) => Effect.Effect<number, StoreError>;
  }
>()("@org/saga-core/ports/Inbox") {}
