/** `Inbox` on a `MemoryDatabase`. Transactions run one after another, so a concurrent admit waits by itself. */
import { Effect, Layer } from "effect";
import { Inbox, type Verdict } from "../ports/Inbox.ts";
import * as FaultPoint from "./FaultPoint.ts";
import * as MemoryDatabase from "./MemoryDatabase.ts";
import { keyOf } from "./MemoryTable.ts";

export const layer: Layer.Layer<Inbox, never, MemoryDatabase.CurrentDatabase> = Layer.effect(
  Inbox,
  Effect.map(MemoryDatabase.CurrentDatabase, (database) => ({
    admit: (consumer, messageIds) =>
      FaultPoint.around(
        "Inbox.admit",
        Effect.map(MemoryDatabase.current(database, "Inbox.admit"), (transaction) =>
          messageIds.map((id): Verdict => {
            const key = keyOf(consumer, id);
            if (database.inbox.get(key) !== undefined) return "Duplicate";
            database.inbox.put(key, { admittedAt: transaction.now });
            return "First";
          }),
        ),
      ),
    sweep: (before) =>
      FaultPoint.around(
        "Inbox.sweep",
        Effect.sync(() => database.inbox.removeCommittedWhere((row) => row.admittedAt < before)),
      ),
  })),
);
