/**
 * What the engines of `StockReservation` share: all stock commands that wait in this process are one batch, one batch at a
 * time, in the order they came. At rest a batch is one command and waits for nothing.
 */
import { Effect, type Scope } from "effect";
import type { StockCommand } from "../domain/stock/StockCommand.ts";
import type { Answer } from "../domain/stock/StockLedger.ts";
import type { StockReservation } from "../ports/StockReservation.ts";
import { StoreError } from "../ports/StoreError.ts";
import * as Mailbox from "./Mailbox.ts";

/** `run` decides and writes a batch; it may be run again with the same commands. */
export const make = Effect.fnUntraced(function* <R>(
  name: string,
  run: (commands: ReadonlyArray<StockCommand>) => Effect.Effect<ReadonlyArray<Answer>, StoreError, R>,
): Effect.fn.Return<StockReservation["Service"]["execute"], never, R | Scope.Scope> {
  const mailbox = yield* Mailbox.make({ name, key: () => name, inFlightMax: 1, run });
  return Effect.fn("StockReservation.execute")(function* (commands) {
    const exits = yield* mailbox.submitAll(commands);
    return yield* Effect.forEach(exits, (exit) => Effect.mapError(exit, toStoreError));
  });
});

const toStoreError = (error: Mailbox.Failure): StoreError => {
  const operation = "StockReservation.execute";
  switch (error._tag) {
    case "StoreError":
      return error;
    case "MailboxFull":
      return new StoreError({ reason: "Unavailable", operation, message: error.message });
    case "Poisoned":
      return new StoreError({ reason: "Refused", operation, message: error.message });
  }
};
