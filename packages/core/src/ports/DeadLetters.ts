/** Messages that cannot be handled, kept with the reason until a person redrives or discards them. Nothing is lost. */
import { Context, type Effect } from "effect";
import type * as Message from "../domain/Message.ts";
import type { Timestamp } from "../domain/Timestamp.ts";
import type { StoreError } from "./StoreError.ts";
import type { Transaction } from "./UnitOfWork.ts";

export interface DeadLetter {
  readonly consumer: string;
  readonly message: Message.Encoded;
  /** Where it was read, e.g. `inventory.commands/3/1207`. */
  readonly position: string;
  /** A constant word: `unknownType`, `schemaMismatch`, `handlerDefect`, … */
  readonly problem: string;
  /** For people. Never holds the payload. */
  readonly detail: string;
  readonly attempts: number;
  readonly at: Timestamp;
}

export class DeadLetters extends Context.Service<
  DeadLetters,
  {
    /** Idempotent per (consumer, message id): the first one stays. */
    readonly append: (letters: ReadonlyArray<DeadLetter>) => Effect.Effect<void, StoreError, Transaction>;
    /** Oldest first. */
    readonly list: (consumer: string, max: number) => Effect.Effect<ReadonlyArray<DeadLetter>, StoreError>;
    readonly remove: (consumer: string, messageIds: ReadonlyArray<string>) => Effect.Effect<void, StoreError, Transaction>;
  }
>()("@org/saga-core/ports/DeadLetters") {}
