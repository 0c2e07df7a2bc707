/** The memory bus keeps the contract of `MessageBus`, on a test clock: nothing here sleeps. */
import { Effect, Layer } from "effect";
import { TestClock } from "effect/testing";
import { describe, it } from "vitest";
import * as MemoryBus from "../../src/memory/MemoryBus.ts";
import * as Contract from "../../src/testing/Contract.ts";
import * as MessageBusContract from "../../src/testing/contracts/MessageBusContract.ts";

describe("MemoryBus keeps the contract of MessageBus:", () => {
  for (const { name, run } of MessageBusContract.cases) {
    it(name, () =>
      run.pipe(
        Effect.provideService(Contract.Wait, (millis) => TestClock.adjust(millis)),
        Effect.provide(Layer.merge(MemoryBus.layer, TestClock.layer())),
        Effect.runPromise,
      ),
    );
  }
});
