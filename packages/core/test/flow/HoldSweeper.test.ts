import { Effect, Layer, Metric } from "effect";
import { describe, expect, it } from "vitest";
import { FaultPoint, HoldSweeper, OrderId, Quantity, Sku, StockReservation, StoreError } from "@org/saga-core";
import { simulate } from "./Harness.ts";

const order = (n: number): OrderId => OrderId.make(`order-${n}`);

describe("the hold sweeper", () => {
  it("returns the stock of expired holds once, and tells about it", () => {
    simulate(({ database }) =>
      Effect.gen(function* () {
        const stock = yield* StockReservation;
        const sku = Sku.make("mug");
        const reserve = (n: number, ttlMillis: number) =>
          ({ _tag: "Reserve", orderId: order(n), lines: [{ sku, quantity: Quantity.make(2) }], ttlMillis }) as const;
        yield* stock.execute([{ _tag: "Adjust", id: "a", sku, delta: 10 }, reserve(1, 1_000), reserve(2, 60_000)]);
        yield* Effect.raceFirst(Layer.launch(HoldSweeper.layer), Effect.sleep(5_000));
        expect((yield* stock.balances([sku])).get(sku)).toMatchObject({ available: 8, held: 2 });
        const told = [...database.outboxPending.committed.values()].map(({ message }) => [message.key, message.type, message.payload]);
        expect(told).toEqual([["order-1", "inventory.released.v1", '{"orderId":"order-1","reason":"expired"}']]);
        expect(yield* HoldSweeper.sweepOnce).toEqual([]);
      }),
    );
  });

  const ports = ["StockReservation.expired", "Timers.claimDue", "StockReservation.execute"];
  const places = ports.flatMap((port) => [`${port}.before`, `${port}.after`]);
  for (const place of [...places, "UnitOfWork.commit.begin", "UnitOfWork.commit.afterCommit"]) {
    it(`tells of every hold once, though two sweep at once and one dies at ${place}`, () => {
      for (const turn of [1, 2]) {
        simulate(({ database }) =>
          Effect.gen(function* () {
            const stock = yield* StockReservation;
            const sku = Sku.make("mug");
            const lines = [{ sku, quantity: Quantity.make(1) }];
            const orders = [1, 2, 3].map(order);
            yield* stock.execute([
              { _tag: "Adjust", id: "a", sku, delta: 10 },
              ...orders.map((orderId) => ({ _tag: "Reserve", orderId, lines, ttlMillis: 1_000 }) as const),
            ]);
            yield* Effect.sleep(1_000);
            let met = 0;
            const crash = (name: string) => Effect.suspend(() => (name === place && (met += 1) === turn ? Effect.interrupt : Effect.void));
            const dying = Effect.provideService(HoldSweeper.sweepOnce, FaultPoint.Handler, crash);
            yield* Effect.all([Effect.exit(dying), HoldSweeper.sweepOnce], { concurrency: "unbounded" });
            expect(met).toBeGreaterThan(0);
            yield* Effect.raceFirst(Layer.launch(HoldSweeper.layer), Effect.sleep(HoldSweeper.LEASE_MS * 2));
            expect((yield* stock.balances([sku])).get(sku)).toMatchObject({ available: 10, held: 0 });
            const told = [...database.outboxPending.committed.values()].map(({ message }) => message.key);
            expect(told.toSorted()).toEqual(orders);
          }),
        );
      }
    });
  }

  it("tells of holds that were left with it because they were revoked, once, and of nothing that lives", () => {
    simulate(({ database }) =>
      Effect.gen(function* () {
        const stock = yield* StockReservation;
        const sku = Sku.make("mug");
        const lines = [{ sku, quantity: Quantity.make(2) }];
        const orders = [1, 2].map(order);
        yield* stock.execute([
          { _tag: "Adjust", id: "a", sku, delta: 4 },
          ...orders.map((orderId) => ({ _tag: "Reserve", orderId, lines, ttlMillis: 60_000 }) as const),
          { _tag: "Adjust", id: "b", sku, delta: -2 },
        ]);
        for (const expected of [[order(2)], []]) {
          yield* HoldSweeper.leave(orders);
          yield* Effect.sleep(1);
          expect(yield* HoldSweeper.sweepOnce).toEqual(expected);
        }
        const told = [...database.outboxPending.committed.values()].map(({ message }) => message.payload);
        expect(told).toEqual(['{"orderId":"order-2","reason":"revoked"}']);
      }),
    );
  });

  it("expires the others when the engine refuses one of them, and goes on failing when it is away", () => {
    simulate(({ database }) =>
      Effect.gen(function* () {
        const stock = yield* StockReservation;
        const sku = Sku.make("mug");
        const lines = [{ sku, quantity: Quantity.make(2) }];
        yield* stock.execute([
          { _tag: "Adjust", id: "a", sku, delta: 10 },
          ...[1, 2, 3].map((n) => ({ _tag: "Reserve", orderId: order(n), lines, ttlMillis: 1_000 }) as const),
        ]);
        yield* Effect.sleep(1_000);
        const failing = (reason: "Refused" | "Unavailable"): StockReservation["Service"] => ({
          ...stock,
          execute: (commands) =>
            commands.some((command) => command._tag === "Expire" && command.orderId === order(2))
              ? Effect.fail(new StoreError({ reason, operation: "test", message: "no" }))
              : stock.execute(commands),
        });
        const sweep = (engine: StockReservation["Service"]) => Effect.provideService(HoldSweeper.sweepOnce, StockReservation, engine);
        expect(yield* Effect.flip(sweep(failing("Unavailable")))).toMatchObject({ reason: "Unavailable" });
        yield* Effect.sleep(HoldSweeper.LEASE_MS);
        expect(yield* sweep(failing("Refused"))).toEqual([order(1), order(3)]);
        expect((yield* stock.balances([sku])).get(sku)).toMatchObject({ available: 8, held: 2 });
        // Somebody has mended it.
        expect(yield* sweep(stock)).toEqual([order(2)]);
        expect(database.outboxPending.committed.size).toBe(3);
      }),
    );
  });

  it("passes those that the engine refuses, though as many as it looks at are due before the others", () => {
    simulate(() =>
      Effect.gen(function* () {
        const stock = yield* StockReservation;
        const sku = Sku.make("mug");
        const lines = [{ sku, quantity: Quantity.make(1) }];
        yield* stock.execute([
          { _tag: "Adjust", id: "a", sku, delta: 10 },
          ...[1, 2, 3, 4, 5, 6, 7].map((n) => ({ _tag: "Reserve", orderId: order(n), lines, ttlMillis: 1_000 + n }) as const),
        ]);
        yield* Effect.sleep(2_000);
        const damaged = new Set([1, 2, 3, 4, 5].map(order));
        const refusing: StockReservation["Service"] = {
          ...stock,
          execute: (commands) =>
            commands.some((command) => command._tag === "Expire" && damaged.has(command.orderId))
              ? Effect.fail(new StoreError({ reason: "Refused", operation: "test", message: "no" }))
              : stock.execute(commands),
        };
        const sweep = Effect.provideService(HoldSweeper.sweepAtMost(2), StockReservation, refusing);
        expect([yield* sweep, yield* sweep, yield* sweep]).toEqual([[order(6)], [order(7)], []]);
        expect((yield* stock.balances([sku])).get(sku)).toMatchObject({ available: 5, held: 5 });
      }),
    );
  });

  it("counts holds whose time was over, and not those that were revoked", () => {
    simulate(() =>
      Effect.gen(function* () {
        const stock = yield* StockReservation;
        const sku = Sku.make("mug");
        const lines = [{ sku, quantity: Quantity.make(1) }];
        const count = Effect.map(Metric.snapshot, (metrics) => {
          const metric = metrics.find(({ id }) => id === "saga_stock_holds_expired_total");
          return metric?.type === "Counter" ? Number(metric.state.count) : 0;
        });
        const before = yield* count;
        yield* stock.execute([
          { _tag: "Adjust", id: "a", sku, delta: 2 },
          ...[1, 2].map((n) => ({ _tag: "Reserve", orderId: order(n), lines, ttlMillis: n * 1_000 }) as const),
          { _tag: "Adjust", id: "b", sku, delta: -1 },
        ]);
        yield* HoldSweeper.leave([order(2)]);
        yield* Effect.sleep(1_000);
        expect((yield* HoldSweeper.sweepOnce).toSorted()).toEqual([order(1), order(2)]);
        expect((yield* count) - before).toBe(1);
      }),
    );
  });

  it("says nothing of a hold that was committed after all", () => {
    simulate(({ database }) =>
      Effect.gen(function* () {
        const stock = yield* StockReservation;
        const sku = Sku.make("mug");
        const reserve = { _tag: "Reserve", orderId: order(1), lines: [{ sku, quantity: Quantity.make(2) }], ttlMillis: 1_000 } as const;
        yield* stock.execute([{ _tag: "Adjust", id: "a", sku, delta: 10 }, reserve]);
        yield* Effect.sleep(1_000);
        const late = stock.execute([{ _tag: "Commit", orderId: order(1) }]);
        const meanwhile = (name: string) => (name === "StockReservation.expired.after" ? Effect.asVoid(Effect.orDie(late)) : Effect.void);
        expect(yield* Effect.provideService(HoldSweeper.sweepOnce, FaultPoint.Handler, meanwhile)).toEqual([]);
        expect((yield* stock.balances([sku])).get(sku)).toMatchObject({ available: 8, committed: 2 });
        expect([...database.outboxPending.committed.values()]).toEqual([]);
      }),
    );
  });
});
