import { MemoryDatabase, MemoryStores } from "@org/saga-core";
import { Effect } from "effect";
import { describe } from "vitest";
import { cases } from "./VersionsSuite.ts";

describe("versions of a saga in memory", () => {
  cases((program) =>
    Effect.runPromise(
      Effect.flatMap(MemoryDatabase.make, (database) => Effect.scoped(Effect.provide(program, MemoryStores.layerOf(database)))),
    ),
  );
});
