/** The memory adapters keep every contract, on a test clock: nothing here sleeps. */
import { Effect, Layer } from "effect";
import { TestClock } from "effect/testing";
import { describe, it } from "vitest";
import * as MemoryDatabase from "../../src/memory/MemoryDatabase.ts";
import * as MemoryDocumentStore from "../../src/memory/MemoryDocumentStore.ts";
import * as MemoryInbox from "../../src/memory/MemoryInbox.ts";
import * as MemoryOutbox from "../../src/memory/MemoryOutbox.ts";
import * as MemoryUnitOfWork from "../../src/memory/MemoryUnitOfWork.ts";
import * as Contract from "../../src/testing/Contract.ts";
import * as InboxContract from "../../src/testing/contracts/InboxContract.ts";
import * as OutboxContract from "../../src/testing/contracts/OutboxContract.ts";
import * as UnitOfWorkContract from "../../src/testing/contracts/UnitOfWorkContract.ts";

const layer = Layer.mergeAll(MemoryUnitOfWork.layer, MemoryDocumentStore.layer, MemoryInbox.layer, MemoryOutbox.layer);

/** 2026-01-01; each case begins an hour after the one before it, as the database remembers its time. */
const START = 1_767_225_600_000;
const HOUR = 3_600_000;

/** One database for all cases of a suite, as with a real one. */
const suite = (name: string, cases: ReadonlyArray<Contract.Case<Layer.Success<typeof layer>>>) => {
  const database = new MemoryDatabase.Database();
  const stores = Layer.mergeAll(Layer.provide(layer, MemoryDatabase.layerOf(database)), TestClock.layer());
  describe(name, () => {
    for (const [index, example] of cases.entries()) {
      it(example.name, () =>
        Effect.runPromise(
          TestClock.setTime(START + index * HOUR).pipe(
            Effect.andThen(example.run),
            Effect.provideService(Contract.Wait, (millis) => TestClock.adjust(millis)),
            Effect.provide(stores),
          ),
        ),
      );
    }
  });
};

suite("MemoryUnitOfWork", UnitOfWorkContract.cases);
suite("MemoryInbox", InboxContract.cases);
suite("MemoryOutbox", OutboxContract.cases);
