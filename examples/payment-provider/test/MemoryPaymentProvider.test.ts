import { DocumentStore, MemoryDatabase, MemoryStores, OrderId, StoreError, Timers, UnitOfWork } from "@org/saga-core";
import { PaymentProvider } from "@example/contracts";
import { assert, describe, it } from "@effect/vitest";
import { Effect, Fiber, Layer } from "effect";
import { TestClock } from "effect/testing";
import { Intents, MemoryPaymentProvider, Settlement } from "../src/index.ts";
import { act, call, Ear, suite } from "./ProviderContract.ts";

const fast = { settleMillis: 5, lateWebhookMillis: 200, timeoutMillis: 100 };

suite("in this process", (hear) =>
  MemoryPaymentProvider.layer({ ...fast, onWebhook: hear }).pipe(
    Layer.provide(Layer.unwrap(Effect.map(MemoryDatabase.make, MemoryStores.layerOf))),
  ),
);

const broken = Effect.fail(new StoreError({ reason: "Unavailable", operation: "test", message: "down" }));
const brokenStores = Layer.mergeAll(
  Layer.succeed(UnitOfWork, { commit: () => broken }),
  Layer.succeed(DocumentStore, { load: () => broken, save: () => broken, find: () => broken }),
  Layer.succeed(Timers, {
    schedule: () => broken,
    reschedule: () => broken,
    cancel: () => broken,
    complete: () => broken,
    claimDue: () => broken,
    nextDueAt: () => broken,
    list: () => broken,
    pending: () => broken,
  }),
);

/** A provider that can be killed: its database outlives it. */
const process = (database: MemoryDatabase.Database, ear: Ear) =>
  MemoryPaymentProvider.layer({ ...fast, onWebhook: ear.hear }).pipe(Layer.provide(MemoryStores.layerOf(database)));

describe("The provider", () => {
  it.effect("loses nothing when it is killed after accepting a capture", () =>
    Effect.gen(function* () {
      const database = yield* MemoryDatabase.make;
      const ear = new Ear();
      yield* Effect.gen(function* () {
        const provider = yield* PaymentProvider;
        yield* provider.authorize(call("o1"));
        yield* provider.capture(act("o1", "capture"));
      }).pipe(Effect.provide(process(database, ear)));
      assert.strictEqual(ear.heard.length, 0);

      yield* Effect.gen(function* () {
        const waiting = yield* Effect.forkChild(ear.next("payment.captured", "o1"));
        yield* TestClock.adjust("1 second");
        yield* Fiber.join(waiting);
        const intents = yield* Intents.Intents;
        assert.deepStrictEqual(yield* intents.ledger([OrderId.make("o1"), OrderId.make("o2")]), [
          { orderId: OrderId.make("o1"), captured: 1_234, refunded: 0, currency: call("o1").amount.currency },
          { orderId: OrderId.make("o2"), captured: 0, refunded: 0, currency: null },
        ]);
      }).pipe(Effect.provide(process(database, ear)));
    }),
  );

  it.effect("tells again, with the same id, when it was killed between telling and remembering that it told", () =>
    Effect.gen(function* () {
      const database = yield* MemoryDatabase.make;
      const stores = MemoryStores.layerOf(database);
      const ear = new Ear();
      let killed = true;
      const sender = Layer.succeed(Settlement.WebhookSender, {
        send: (event) =>
          Effect.orDie(ear.hear(event)).pipe(Effect.andThen(Effect.suspend(() => (killed ? Effect.interrupt : Effect.void)))),
      });
      const intents = Intents.layer(fast);
      yield* Effect.gen(function* () {
        const { run } = yield* Intents.Intents;
        const { orderId, customerId, amount, paymentMethod, reference } = call("o1");
        const terms = { orderId, customerId, amount, paymentMethod };
        yield* run(reference, { _tag: "Authorize", reference, key: "a", terms, balance: amount });
        yield* run(reference, { _tag: "Capture", key: "c" });
        yield* TestClock.adjust("1 second");
        yield* Settlement.drainOnce;
        yield* Effect.exit(Settlement.drainOnce);
        killed = false;
        yield* TestClock.adjust(Settlement.LEASE_MS + 1);
        yield* Settlement.drainOnce;
        assert.strictEqual(yield* Settlement.drainOnce, 0);
      }).pipe(Effect.provide(Layer.mergeAll(intents, sender)), Effect.provide(stores));
      assert.deepStrictEqual(
        ear.heard.map(({ id }) => id),
        ["evt_o1_captured", "evt_o1_captured"],
      );
    }),
  );

  it.effect("lets either a capture or a cancel win, whatever their order", () =>
    Effect.gen(function* () {
      const database = yield* MemoryDatabase.make;
      const ear = new Ear();
      yield* Effect.gen(function* () {
        const provider = yield* PaymentProvider;
        yield* Effect.forEach(
          Array.from({ length: 20 }, (_, index) => `r${index}`),
          (id) =>
            Effect.gen(function* () {
              yield* provider.authorize(call(id));
              yield* Effect.all([provider.capture(act(id, "capture")), provider.cancel(act(id, "cancel"))], { concurrency: "unbounded" });
            }),
          { concurrency: "unbounded" },
        );
        yield* TestClock.adjust("5 seconds");
        const intents = yield* Intents.Intents;
        for (let index = 0; index < 20; index++) {
          const state = yield* provider.probe(`r${index}`);
          const [entry] = yield* intents.ledger([OrderId.make(`r${index}`)]);
          assert.include(["Canceled", "Captured"], state._tag);
          assert.strictEqual(entry?.captured, state._tag === "Captured" ? 1_234 : 0);
        }
      }).pipe(Effect.provide(process(database, ear)));
    }),
  );

  it.effect("waits longer after each delivery that failed, and gives up after three days", () =>
    Effect.gen(function* () {
      const database = yield* MemoryDatabase.make;
      const ear = new Ear();
      ear.deaf = Number.MAX_SAFE_INTEGER;
      const before = ear.deaf;
      yield* Effect.gen(function* () {
        const provider = yield* PaymentProvider;
        yield* provider.authorize(call("o1"));
        yield* provider.capture(act("o1", "capture"));
        yield* TestClock.adjust("3 seconds");
        const attempts = before - ear.deaf;
        assert.isAtLeast(attempts, 3);
        assert.isAtMost(attempts, 5);
        yield* TestClock.adjust("20 seconds");
        assert.isAtMost(before - ear.deaf, attempts + 6);
      }).pipe(Effect.provide(process(database, ear)));
      // A provider that was down for three days tries once more, and lets it be.
      yield* TestClock.adjust("3 days");
      yield* TestClock.adjust("1 hour").pipe(Effect.provide(process(database, ear)));
      assert.strictEqual([...database.timers.committed.values()].length, 0);
    }),
  );

  it.effect("counts a store that cannot be reached as unavailable", () =>
    Effect.gen(function* () {
      const provider = yield* MemoryPaymentProvider.make(10);
      assert.strictEqual((yield* Effect.flip(provider.probe("o1")))._tag, "ProviderUnavailable");
      assert.strictEqual((yield* Effect.flip(provider.capture(act("o1", "capture"))))._tag, "ProviderUnavailable");
    }).pipe(Effect.provide(Layer.provide(Intents.layer(), brokenStores))),
  );
});
