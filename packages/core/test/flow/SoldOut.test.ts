import { Clock, Effect, Fiber, Latch, Layer, Metric } from "effect";
import { TestClock } from "effect/testing";
import { describe, expect, test } from "vitest";
import { SoldOut, type StockCommand, StoreError } from "../../src/index.ts";
import * as MemoryStock from "../../src/memory/MemoryStock.ts";
import * as HotSku from "../../src/testing/contracts/HotSku.ts";
import * as StockContention from "../../src/testing/contracts/StockContention.ts";
import * as StockReservationContract from "../../src/testing/contracts/StockReservationContract.ts";
import { alive, word } from "../../src/testing/contracts/StockShop.ts";
import { line } from "../domain/stock/StockModel.ts";
import { adjust, apple, connect, memory, onTestClock, order, pear, release, request, type Reserve, shop } from "./SoldOutProcess.ts";

const BUYERS = 10_000;
const UNITS = 100;

describe("MemoryStock behind SoldOut keeps the contract of StockReservation: it", () => {
  for (const { name, run } of StockReservationContract.cases) {
    test(name, () => onTestClock(Effect.provide(run, SoldOut.layer.pipe(Layer.provide(MemoryStock.layer)))));
  }
});

describe("MemoryStock behind SoldOut in two processes: two", () => {
  for (const { name, run } of StockContention.rivalry) {
    test(name, () =>
      Effect.gen(function* () {
        const engine = yield* memory;
        const [left, right] = [yield* connect(engine), yield* connect(engine)];
        yield* Effect.provideService(run, StockContention.Rivals, [left.stock, right.stock]);
      }).pipe(onTestClock),
    );
  }
});

describe("MemoryStock behind SoldOut, in two processes,", () => {
  for (const { name, run } of HotSku.cases) {
    test(name, () =>
      Effect.gen(function* () {
        const engine = yield* memory;
        yield* Effect.provideService(run, StockContention.Rivals, [engine, engine]);
      }).pipe(onTestClock),
    );
  }
});

describe("SoldOut", () => {
  test(`lets exactly the first ${UNITS} of ${BUYERS} buyers win ${UNITS} units; nearly all losers are answered without the engine`, () =>
    Effect.gen(function* () {
      const { door, asked, stock } = yield* shop(UNITS);
      const buyers = Array.from({ length: BUYERS }, (_, buyer) => buyer);
      const answers = yield* Effect.forEach(buyers, (buyer) => Effect.map(door.first([request(buyer)]), ([answer]) => answer), {
        concurrency: "unbounded",
      });
      const winners = buyers.filter((buyer) => answers[buyer] !== undefined && alive(answers[buyer]));
      expect(winners).toEqual(buyers.slice(0, UNITS));
      expect(answers.flatMap((answer) => (answer === undefined || alive(answer) ? [] : [word(answer)]))).toEqual(
        Array.from({ length: BUYERS - UNITS }, () => "OutOfStock"),
      );
      expect((yield* stock.balances([apple])).get(apple)).toMatchObject({ onHand: UNITS, held: UNITS, available: 0 });
      // One loser has to find out.
      expect(asked.length).toBe(UNITS + 1);
    }).pipe(onTestClock));

  test("refuses from the mark as the engine would", () =>
    Effect.gen(function* () {
      const { door, asked } = yield* shop(0);
      const [byEngine] = yield* door.first([request("a")]);
      const [byMark] = yield* door.first([request("a")]);
      expect(byMark).toEqual(byEngine);
      expect(asked.length).toBe(1);
    }).pipe(onTestClock));

  test("counts what it answered: when the engine is asked next, and at its end", () =>
    Effect.gen(function* () {
      const count = Effect.map(Metric.snapshot, (all) => all.find(({ id }) => id === "saga_stock_sold_out_answers_total")?.state);
      yield* Effect.gen(function* () {
        const { first, ask } = yield* shop(0);
        yield* first(request("a"));
        yield* first(request("b"), request("c"));
        yield* ask(release("d"));
        expect(yield* count).toMatchObject({ count: 2 });
        yield* first(request("e"));
      }).pipe(Effect.scoped);
      expect(yield* count).toMatchObject({ count: 3 });
    }).pipe(Effect.provideService(Metric.MetricRegistry, new Map()), onTestClock));

  test(`asks the engine again ${SoldOut.SOLD_OUT_MS} ms later: another process may have given units back`, () =>
    Effect.gen(function* () {
      const engine = yield* memory;
      const [here, elsewhere] = [yield* connect(engine), yield* connect(engine)];
      yield* elsewhere.ask(adjust("seed", 1), request("a"));
      expect(yield* here.first(request("b"))).toEqual(["OutOfStock"]);
      yield* elsewhere.ask(release("a"));
      yield* TestClock.adjust(SoldOut.SOLD_OUT_MS - 1);
      expect(yield* here.first(request("c"))).toEqual(["OutOfStock"]);
      yield* TestClock.adjust(1);
      expect(yield* here.first(request("d"))).toEqual(["Reserved"]);
    }).pipe(onTestClock));

  test(`too busy to hear its timers, looks at the clock after ${SoldOut.LOOK_EVERY} answers, and before it answers several requests`, () =>
    Effect.gen(function* () {
      const clock = yield* Clock.Clock;
      const deaf: Clock.Clock = {
        currentTimeMillisUnsafe: () => clock.currentTimeMillisUnsafe(),
        currentTimeMillis: clock.currentTimeMillis,
        currentTimeNanosUnsafe: () => clock.currentTimeNanosUnsafe(),
        currentTimeNanos: clock.currentTimeNanos,
        monotonicTimeNanosUnsafe: () => clock.monotonicTimeNanosUnsafe(),
        monotonicTimeNanos: clock.monotonicTimeNanos,
        sleep: () => Effect.never,
      };
      const { first, asked } = yield* Effect.provideService(shop(0), Clock.Clock, deaf);
      yield* first(request("a"));
      yield* first(request("b"));
      yield* TestClock.adjust(SoldOut.SOLD_OUT_MS);
      for (let n = 1; n < SoldOut.LOOK_EVERY; n++) yield* first(request(`c${n}`));
      expect(asked.length).toBe(1);
      yield* first(request("d"));
      expect(asked.length).toBe(2);
      yield* TestClock.adjust(SoldOut.SOLD_OUT_MS);
      yield* first(request("e"), request("f"));
      expect(asked.length).toBe(4);
    }).pipe(onTestClock));

  test("answers requests for at least as many units as were refused, and only them", () =>
    Effect.gen(function* () {
      const { ask, first, asked } = yield* shop(3);
      expect(yield* first(request("a", 5))).toEqual(["OutOfStock"]);
      expect(yield* first(request("b", 6), request("c", 5))).toEqual(["OutOfStock", "OutOfStock"]);
      expect(asked.length).toBe(1);
      expect(yield* first(request("d", 4), request("e", 3), request("f", 5))).toEqual(["OutOfStock", "Reserved", "OutOfStock"]);
      expect(asked.map((command) => (command._tag === "Adjust" ? "" : command.orderId))).toEqual(["a", "d", "e"].map(order));
      expect(yield* ask(request("g", 9))).toEqual(["OutOfStock"]);
      expect(yield* first(request("h", 4))).toEqual(["OutOfStock"]);
      expect(asked.length).toBe(4);
    }).pipe(onTestClock));

  test("leaves to the engine what it refuses with another word, and what asks for more than one line", () =>
    Effect.gen(function* () {
      const { first, asked } = yield* shop(0);
      yield* first(request("a"));
      const both: Reserve = { ...request("d"), lines: [line("apple", 1), line("pear", 99)] };
      expect(yield* first(request("b", 1, apple, 0), request("c", 1, line("plum", 1).sku), both)).toEqual([
        "InvalidQuantity",
        "UnknownSku",
        "OutOfStock",
      ]);
      expect(asked.length).toBe(4);
      expect(yield* first(request("e", 1, pear))).toEqual(["Reserved"]);
      expect(yield* first()).toEqual([]);
    }).pipe(onTestClock));

  const returning: ReadonlyArray<readonly [string, StockCommand]> = [
    ["Release", release("holder")],
    ["Expire", { _tag: "Expire", orderId: order("short") }],
    ["Adjust", adjust("delivery", 1)],
  ];
  for (const [name, command] of returning) {
    test(`forgets the mark when ${name} gives units back through this process`, () =>
      Effect.gen(function* () {
        const { ask, first } = yield* shop(2);
        yield* ask(request("short", 1, apple, 1), request("holder"));
        yield* TestClock.adjust(1);
        expect(yield* first(request("a"))).toEqual(["OutOfStock"]);
        yield* ask(command);
        expect(yield* first(request("b"))).toEqual(["Reserved"]);
      }).pipe(onTestClock));
  }

  test("forgets all marks when goods are counted out: a revoked hold gives back its other lines", () =>
    Effect.gen(function* () {
      const { ask, first } = yield* shop(2);
      yield* ask({ ...request("both"), lines: [line("apple", 2), line("pear", 9)] });
      expect(yield* first(request("a"))).toEqual(["OutOfStock"]);
      yield* ask(adjust("broken", -1, pear));
      expect(yield* first(request("b"))).toEqual(["Reserved"]);
    }).pipe(onTestClock));

  test("does not believe a refusal that units given back have overtaken", () =>
    Effect.gen(function* () {
      const engine = yield* memory;
      const gate = yield* Latch.make(false);
      /** Decides at once; a refusal is long on its way back. */
      const { ask, first } = yield* connect({
        ...engine,
        execute: (commands) =>
          Effect.tap(engine.execute(commands), (answers) => (answers.map(word).includes("OutOfStock") ? gate.await : Effect.void)),
      });
      yield* ask(adjust("seed", 1), request("holder"));
      const slow = yield* Effect.forkChild(first(request("a")));
      yield* Effect.yieldNow;
      yield* ask(release("holder"));
      yield* gate.open;
      expect(yield* Fiber.join(slow)).toEqual(["OutOfStock"]);
      expect(yield* first(request("b"))).toEqual(["Reserved"]);
    }).pipe(onTestClock));

  test("forgets all marks when an answer is lost: it may have given units back", () =>
    Effect.gen(function* () {
      const engine = yield* memory;
      const lost = new StoreError({ reason: "Unknown", operation: "test", message: "lost" });
      const { ask, first } = yield* connect({
        ...engine,
        execute: (commands) =>
          Effect.flatMap(engine.execute(commands), (answers) =>
            commands.some(({ _tag }) => _tag === "Release") ? Effect.fail(lost) : Effect.succeed(answers),
          ),
      });
      yield* ask(adjust("seed", 1), request("holder"));
      expect(yield* first(request("a"))).toEqual(["OutOfStock"]);
      expect(yield* Effect.flip(ask(release("holder")))).toBe(lost);
      expect(yield* first(request("b"))).toEqual(["Reserved"]);
    }).pipe(onTestClock));
});
