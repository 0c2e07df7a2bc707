/** The memory adapters keep every contract, on a test clock: nothing here sleeps. */
import { Effect, Layer } from "effect";
import { TestClock } from "effect/testing";
import { describe, it } from "vitest";
import * as MemoryDatabase from "../../src/memory/MemoryDatabase.ts";
import * as MemoryStores from "../../src/memory/MemoryStores.ts";
import * as Contract from "../../src/testing/Contract.ts";
import * as DeadLettersContract from "../../src/testing/contracts/DeadLettersContract.ts";
import * as DocumentStoreContract from "../../src/testing/contracts/DocumentStoreContract.ts";
import * as IdempotencyKeysContract from "../../src/testing/contracts/IdempotencyKeysContract.ts";
import * as InboxContract from "../../src/testing/contracts/InboxContract.ts";
import * as InboxQueueContract from "../../src/testing/contracts/InboxQueueContract.ts";
import * as LockContract from "../../src/testing/contracts/LockContract.ts";
import * as OrderStoreContract from "../../src/testing/contracts/OrderStoreContract.ts";
import * as OutboxContract from "../../src/testing/contracts/OutboxContract.ts";
import * as ParticipantContract from "../../src/testing/contracts/ParticipantContract.ts";
import * as SagaStoreContract from "../../src/testing/contracts/SagaStoreContract.ts";
import * as TimersContract from "../../src/testing/contracts/TimersContract.ts";
import * as UnitOfWorkContract from "../../src/testing/contracts/UnitOfWorkContract.ts";

/** 2026-01-01; each case begins an hour after the one before it, as the database remembers its time. */
const START = 1_767_225_600_000;
const HOUR = 3_600_000;

/** One database for all cases of a suite, as with a real one. */
const suite = (name: string, cases: ReadonlyArray<Contract.Case<MemoryStores.Ports>>) => {
  const database = new MemoryDatabase.Database();
  const stores = Layer.mergeAll(MemoryStores.layerOf(database), TestClock.layer());
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
suite("MemoryInboxQueue", InboxQueueContract.cases);
suite("MemoryOutbox", OutboxContract.cases);
suite("MemoryDocumentStore", DocumentStoreContract.cases);
suite("MemorySagaStore", SagaStoreContract.cases);
suite("MemoryOrderStore", OrderStoreContract.cases);
suite("MemoryTimers", TimersContract.cases);
suite("MemoryDeadLetters", DeadLettersContract.cases);
suite("MemoryIdempotencyKeys", IdempotencyKeysContract.cases);
suite("MemoryLock", LockContract.cases);
suite("Participant", ParticipantContract.cases);
