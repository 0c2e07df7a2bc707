/** `DeadLetters` on a `MemoryDatabase`. */
import { Effect, Layer } from "effect";
import { DeadLetters } from "../ports/DeadLetters.ts";
import * as FaultPoint from "./FaultPoint.ts";
import * as MemoryDatabase from "./MemoryDatabase.ts";
import { keyOf } from "./MemoryTable.ts";

export const layer: Layer.Layer<DeadLetters, never, MemoryDatabase.CurrentDatabase> = Layer.effect(
  DeadLetters,
  Effect.map(MemoryDatabase.CurrentDatabase, (database) => ({
    append: (letters) =>
      FaultPoint.around(
        "DeadLetters.append",
        Effect.map(MemoryDatabase.current(database, "DeadLetters.append"), () => {
          for (const letter of letters) {
            const key = keyOf(letter.consumer, letter.message.id);
            if (database.deadLetters.get(key) === undefined) database.deadLetters.put(key, letter);
          }
        }),
      ),
    list: (consumer, max) =>
      FaultPoint.around(
        "DeadLetters.list",
        Effect.sync(() =>
          [...database.deadLetters.committed.values()]
            .filter((letter) => letter.consumer === consumer)
            .toSorted((left, right) => left.at - right.at)
            .slice(0, max),
        ),
      ),
    remove: (consumer, messageIds) =>
      FaultPoint.around(
        "DeadLetters.remove",
        Effect.map(MemoryDatabase.current(database, "DeadLetters.remove"), () => {
          for (const id of messageIds) database.deadLetters.remove(keyOf(consumer, id));
        }),
      ),
  })),
);
