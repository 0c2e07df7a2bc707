import { Clock, Deferred, Effect, Exit, Fiber } from "effect";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Batch } from "@org/saga-core";
import { type Item, item, mailbox, simulate, values } from "./MailboxWorld.ts";

describe("the batches of a mailbox", () => {
  it("runs a single command at once and alone", () => {
    const batches: Array<ReadonlyArray<number>> = [];
    const { answers, waited } = simulate(
      Effect.gen(function* () {
        const box = yield* mailbox((items) => Effect.sync(() => (batches.push(values(items)), values(items))));
        const start = yield* Clock.currentTimeMillis;
        const told = [yield* box.submit(item(1)), yield* box.submit(item(2))];
        return { answers: told, waited: (yield* Clock.currentTimeMillis) - start };
      }),
    );
    expect({ answers, batches, waited }).toEqual({ answers: [1, 2], batches: [[1], [2]], waited: 0 });
  });

  it("commits whatever came meanwhile as one batch, and gives each caller its own answer", () => {
    const batches: Array<number> = [];
    const answers = simulate(
      Effect.gen(function* () {
        const gate = yield* Deferred.make<void>();
        const box = yield* mailbox(
          (items) =>
            Effect.andThen(
              Deferred.await(gate),
              Effect.sync(() => (batches.push(items.length), values(items).map((value) => value * 10))),
            ),
          { inFlightMax: 1, batchMax: 64 },
        );
        const fibers = yield* Effect.forEach([...Array(100).keys()], (n) => Effect.forkChild(box.submit(item(n))));
        yield* Effect.sleep(10);
        yield* Deferred.succeed(gate, undefined);
        return yield* Effect.forEach(fibers, Fiber.join);
      }),
    );
    expect(answers).toEqual([...Array(100).keys()].map((n) => n * 10));
    expect(batches.length).toBeLessThanOrEqual(3 + 100);
    expect(Math.max(...batches)).toBe(64);
    expect(batches.reduce((sum, size) => sum + size)).toBe(100);
  });

  it("never runs one key in two batches at a time, and keeps a key's order, under any schedule", () => {
    fc.assert(
      fc.property(fc.integer(), fc.array(fc.nat({ max: 4 }), { minLength: 1, maxLength: 40 }), (seed, keys) => {
        const running = new Set<string>();
        const order = new Map<string, Array<number>>();
        simulate(
          Effect.gen(function* () {
            const box = yield* mailbox(
              (items) =>
                Effect.gen(function* () {
                  const own = new Set(items.map(({ key }) => key));
                  for (const key of own) expect(running.has(key)).toBe(false);
                  for (const key of own) running.add(key);
                  yield* Effect.sleep(5);
                  for (const { key, value } of items) order.set(key, [...(order.get(key) ?? []), value]);
                  for (const key of own) running.delete(key);
                  return values(items);
                }),
              { batchMax: 3, inFlightMax: 3 },
            );
            const exits = yield* box.submitAll(keys.map((key, value) => item(value, `k${key}`)));
            expect(exits).toEqual(keys.map((_, value) => Exit.succeed(value)));
          }),
          seed,
        );
        for (const done of order.values()) expect(done).toEqual(done.toSorted((a, b) => a - b));
      }),
      { numRuns: 100 },
    );
  });

  it("gives every key its turn: one that has thousands waiting holds nobody up", () => {
    const batches: Array<ReadonlyArray<Item>> = [];
    simulate(
      Effect.gen(function* () {
        const box = yield* mailbox((items) => Effect.sync(() => (batches.push(items), values(items))), { inFlightMax: 1, batchMax: 10 });
        yield* box.submitAll(
          [...Array(1_000).keys()].map((n) => item(n, "hot")).concat([item(1_000, "a"), item(1_001, "b"), item(1_002, "a")]),
        );
      }),
    );
    const [first = [], second = []] = batches;
    expect(first.map(({ value }) => value)).toEqual([0, 1_000, 1_001, 1, 1_002, 2, 3, 4, 5, 6]);
    expect(second.map(({ value }) => value)).toEqual([7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);
    expect(batches).toHaveLength(101);
  });

  it("begins beside another batch at once when it is as large as it may be, and after a while when it is not", () => {
    const begins = (batchMax: number): ReadonlyArray<number> => {
      const at: Array<number> = [];
      simulate(
        Effect.gen(function* () {
          const box = yield* mailbox(
            (items) => Effect.flatMap(Clock.currentTimeMillis, (now) => (at.push(now), Effect.as(Effect.sleep(100), values(items)))),
            { batchMax },
          );
          yield* Effect.all([box.submit(item(1)), box.submit(item(2))], { concurrency: "unbounded" });
        }),
      );
      return at.map((time) => time - (at[0] ?? 0));
    };
    expect(begins(1)).toEqual([0, 0]);
    const [first, second = 0] = begins(2);
    expect(first).toBe(0);
    // Before the first one ends.
    expect(second).toBeLessThan(100);
  });

  it("shares a load among the batches in flight, and lets those who are answered ask again first", () => {
    const sizes: Array<number> = [];
    const load = 4 * Batch.BESIDE_MIN;
    simulate(
      Effect.gen(function* () {
        const box = yield* mailbox((items) => {
          sizes.push(items.length);
          return Effect.as(Effect.sleep(100), values(items));
        });
        for (let value = 0; value < load; value += 1) yield* Effect.forkScoped(Effect.forever(box.submit(item(value))));
        yield* Effect.sleep(1_000);
      }),
    );
    const [first, ...others] = sizes;
    expect(first).toBe(1);
    // Whoever is scheduled first: none takes more than its half, nor begins with too few.
    expect(others.filter((size) => size > load / 2 || size < Batch.BESIDE_MIN)).toEqual([]);
    expect(others.length).toBeGreaterThan(10);
  });

  it("goes on with the others while a key is in flight, and with that key afterwards", () => {
    const started: Array<ReadonlyArray<number>> = [];
    simulate(
      Effect.gen(function* () {
        const gate = yield* Deferred.make<void>();
        const box = yield* mailbox((items) => {
          started.push(values(items));
          return Effect.as(values(items).includes(0) ? Deferred.await(gate) : Effect.void, values(items));
        });
        const slow = yield* Effect.forkChild(box.submit(item(0, "slow")));
        yield* Effect.sleep(1);
        const next = yield* Effect.forkChild(box.submit(item(1, "slow")));
        yield* Effect.sleep(1);
        yield* box.submit(item(2, "fast"));
        yield* box.submit(item(3, "fast"));
        yield* Deferred.succeed(gate, undefined);
        yield* Fiber.joinAll([slow, next]);
      }),
    );
    expect(started).toEqual([[0], [2], [3], [1]]);
  });
});
