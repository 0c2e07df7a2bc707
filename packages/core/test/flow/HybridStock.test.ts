import { Clock, Deferred, Effect, Exit, Fiber, Latch, Logger, Metric, Result, Scope } from "effect";
import { TestClock } from "effect/testing";
import { describe, expect, test } from "vitest";
import { type StockCommand, type StockLedger, StockReservation } from "../../src/index.ts";
import * as HybridStockShard from "../../src/flow/HybridStockShard.ts";
import * as FaultPoint from "../../src/memory/FaultPoint.ts";
import * as MemoryStock from "../../src/memory/MemoryStock.ts";
import * as Contract from "../../src/testing/Contract.ts";
import * as StockContention from "../../src/testing/contracts/StockContention.ts";
import * as StockReservationContract from "../../src/testing/contracts/StockReservationContract.ts";
import * as World from "./HybridWorld.ts";

const passing = Effect.provideService(Contract.Wait, (millis) => TestClock.adjust(millis));

for (const durable of [false, true]) {
  describe(`HybridStock (durable: ${durable}) keeps the contract of StockReservation: it`, () => {
    for (const { name, run } of StockReservationContract.cases) {
      test(name, () =>
        Effect.gen(function* () {
          const { connect, server } = yield* World.make;
          yield* Effect.provideService(run, StockReservation, yield* connect({ durable }));
          expect(server.log).not.toBe(null);
        }).pipe(passing, World.run),
      );
    }
  });
}

describe("HybridStock", () => {
  // One after the other in one process: what the ledger has answered another process, the log may hear a little later.
  const rivalry = StockContention.rivalry.filter(({ name }) => !name.includes("one after the other"));
  for (const { name, run } of rivalry) {
    test(name, () =>
      Effect.gen(function* () {
        const { connect } = yield* World.make;
        const rivals = [yield* connect({ durable: true }), yield* connect({ durable: true })];
        yield* Effect.provideService(run, StockContention.Rivals, rivals);
      }).pipe(passing, World.run),
    );
  }
});

/** On hand, held, committed, in the ledger. */
const ledger = ({ books }: World.World): ReadonlyArray<number> => {
  const { onHand = 0, held = 0, committed = 0 } = books.stock.skus.get(World.apple) ?? {};
  return [onHand, held, committed];
};

const word = (answer: StockLedger.Answer | undefined): string =>
  answer === undefined ? "nothing" : Result.isSuccess(answer) ? answer.success._tag : answer.failure._tag;

const asks = (stock: StockReservation["Service"]) => (command: StockCommand) =>
  World.whilePassing(Effect.map(stock.execute([command]), ([answer]) => word(answer)));

/** Long enough for every worker here to have looked around. */
const aWhile = TestClock.adjust(HybridStockShard.RETURN_MAX_MS * 2);

describe("HybridStock, when its log", () => {
  const shop = Effect.gen(function* () {
    const world = yield* World.make;
    const ask = asks(yield* world.connect());
    yield* ask(World.receive(3));
    return { ...world, world, ask };
  });

  test("is lost, keeps what was journaled, and reserves what was not again", () =>
    Effect.gen(function* () {
      const { world, server, books, ask } = yield* shop;
      expect(yield* ask(World.reserve("a"))).toBe("Reserved");
      yield* aWhile;
      expect(ledger(world)).toEqual([3, 1, 0]);
      const before = books.serving.generation;
      server.log = null;
      expect(yield* ask(World.reserve("b"))).toBe("Reserved");
      yield* aWhile;
      expect(books.serving.generation).toBeGreaterThan(before);
      expect(ledger(world)).toEqual([3, 2, 0]);
      expect(yield* ask(World.about("Commit", "a"))).toBe("Committed");
      expect([yield* ask(World.reserve("c")), yield* ask(World.reserve("d"))]).toEqual(["Reserved", "OutOfStock"]);
    }).pipe(World.run));

  test("is lost before a hold was journaled, commits it all the same where it was granted", () => {
    const isWriting = Latch.makeUnsafe(true);
    const late: FaultPoint.Handler = (name) => (name === "StockBooks.execute.before" ? isWriting.await : Effect.void);
    return Effect.gen(function* () {
      const { world, server, ask } = yield* shop;
      isWriting.closeUnsafe();
      expect(yield* ask(World.reserve("a"))).toBe("Reserved");
      server.log = null;
      const committing = yield* Effect.forkChild(ask(World.about("Commit", "a")));
      yield* TestClock.adjust(1_000);
      // Its journal is about to hear that the generation is over.
      isWriting.openUnsafe();
      expect(yield* Fiber.join(committing)).toBe("Committed");
      expect(ledger(world)).toEqual([3, 0, 1]);
    }).pipe(Effect.provideService(FaultPoint.Handler, late), World.run);
  });

  test("is lost with holds that no process remembers, refuses their commits and sells their units once", () =>
    Effect.gen(function* () {
      const { world, server, ask } = yield* shop;
      // Granted by a process that died before it journaled.
      const [first] = server.log?.stock.execute([World.reserve("ghost", 3)], 0) ?? [];
      expect(word(first)).toBe("Reserved");
      server.restart("second");
      expect(yield* ask(World.reserve("b", 3))).toBe("Reserved");
      expect(yield* ask(World.about("Commit", "ghost"))).toBe("HoldNotFound");
      expect(yield* ask(World.about("Commit", "b"))).toBe("Committed");
      expect(ledger(world)).toEqual([3, 0, 3]);
    }).pipe(World.run));

  test("is restored from an old snapshot, is not believed", () =>
    Effect.gen(function* () {
      const { world, server, ask } = yield* shop;
      const old = server.snapshot();
      expect(yield* ask(World.reserve("a", 3))).toBe("Reserved");
      expect(yield* ask(World.about("Commit", "a"))).toBe("Committed");
      server.restart("second", old);
      expect(yield* ask(World.reserve("b"))).toBe("OutOfStock");
      expect(ledger(world)).toEqual([3, 0, 3]);
    }).pipe(World.run));

  test("granted more than there is, revokes what the ledger cannot keep", () =>
    Effect.gen(function* () {
      const { world, server, books, ask } = yield* shop;
      expect(yield* ask(World.reserve("a", 3))).toBe("Reserved");
      yield* aWhile;
      // The same server forgot a hold: it cannot be told from one that is well.
      server.log = null;
      server.log = { generation: books.serving.generation, stock: new MemoryStock.Stock() };
      server.log.stock.execute([World.receive(3)], 0);
      expect(yield* ask(World.reserve("b", 3))).toBe("Reserved");
      yield* aWhile;
      expect(ledger(world)).toEqual([3, 3, 0]);
      expect(yield* ask(World.about("Commit", "b"))).toBe("HoldExpired");
      expect(yield* ask(World.about("Commit", "a"))).toBe("Committed");
      expect(yield* ask(World.reserve("c"))).toBe("OutOfStock");
    }).pipe(World.run));

  test("was not asked when somebody else counted goods out, begins anew with the holds that the ledger kept", () =>
    Effect.gen(function* () {
      const { world, server, books, ask } = yield* shop;
      expect([yield* ask(World.reserve("a")), yield* ask(World.reserve("b"))]).toEqual(["Reserved", "Reserved"]);
      yield* aWhile;
      // Granted by a process that died before it journaled: the log would revoke this one instead.
      server.log?.stock.execute([World.reserve("ghost")], yield* Clock.currentTimeMillis);
      const before = books.serving.generation;
      const counted = books.execute(before, { holds: [], commands: [World.receive(-2, "count")] }, 0);
      expect(counted).toMatchObject({ answers: [{ success: { _tag: "Adjusted", onHand: 1, revoked: ["b"] } }] });
      yield* aWhile;
      expect(books.serving.generation).toBeGreaterThan(before);
      expect(books.notes.size).toBe(0);
      expect([yield* ask(World.about("Commit", "a")), yield* ask(World.about("Commit", "b"))]).toEqual(["Committed", "HoldExpired"]);
      expect(yield* ask(World.reserve("c"))).toBe("OutOfStock");
      expect(ledger(world)).toEqual([1, 0, 1]);
    }).pipe(World.run));

  for (const state of ["away", "silent", "mute", "full"] as const) {
    test(`is ${state}, sells from the ledger, and from the log again once it is back`, () =>
      Effect.gen(function* () {
        const { world, server, books, ask } = yield* shop;
        expect(yield* ask(World.reserve("a"))).toBe("Reserved");
        server.state = state;
        expect(yield* ask(World.reserve("b"))).toBe("Reserved");
        expect(yield* ask(World.about("Commit", "a"))).toBe("Committed");
        expect(ledger(world)).toEqual([3, 1, 1]);
        expect(books.serving.server).toBe(null);
        server.state = "up";
        yield* aWhile;
        expect(books.serving.server?.runId).toBe("first");
        expect([yield* ask(World.reserve("c")), yield* ask(World.reserve("d"))]).toEqual(["Reserved", "OutOfStock"]);
        yield* aWhile;
        expect(ledger(world)).toEqual([3, 2, 1]);
      }).pipe(World.run));
  }

  test("cannot serve, says why, once until the reason changes, and again when it fails anew", () => {
    const said: Array<string> = [];
    const logger = Logger.make(({ logLevel, message }) => void (logLevel === "Warn" && said.push(String(message).replace(/^.*: /, ""))));
    return Effect.gen(function* () {
      const { server, ask } = yield* shop;
      server.state = "away";
      expect(yield* ask(World.reserve("a"))).toBe("Reserved");
      yield* aWhile;
      expect(said).toEqual(["the server is away"]);
      server.state = "full";
      yield* aWhile;
      expect(said).toEqual(["the server is away", "the server is full"]);
      server.state = "up";
      yield* aWhile;
      expect(yield* ask(World.reserve("b"))).toBe("Reserved");
      server.state = "away";
      expect(yield* ask(World.reserve("c"))).toBe("Reserved");
      yield* aWhile;
      expect(said).toEqual(["the server is away", "the server is full", "the server is away"]);
    }).pipe(Effect.provide(Logger.layer([logger])), World.run);
  });

  test("has a greater generation than the ledger knows, does without it", () =>
    Effect.gen(function* () {
      const { server, ask } = yield* shop;
      server.restart("second", { generation: 1_000, stock: new MemoryStock.Stock() });
      expect(yield* ask(World.reserve("a"))).toBe("Reserved");
    }).pipe(World.run));
});

test("HybridStock counts what was revoked, and commits of holds that had ended", () =>
  Effect.gen(function* () {
    const { connect, server, books } = yield* World.make;
    const ask = asks(yield* connect());
    const count = (name: string) =>
      Effect.map(Metric.snapshot, (metrics) => {
        const metric = metrics.find(({ id }) => id === name);
        return metric?.type === "Counter" ? Number(metric.state.count) : 0;
      });
    const names = ["saga_stock_commit_conflicts_total", "saga_stock_holds_revoked_total"];
    const before = yield* Effect.forEach(names, count);
    yield* ask(World.receive(1));
    yield* ask(World.reserve("a"));
    yield* aWhile;
    server.log = { generation: books.serving.generation, stock: new MemoryStock.Stock() };
    server.log.stock.execute([World.receive(1)], 0);
    expect(yield* ask(World.reserve("b"))).toBe("Reserved");
    yield* aWhile;
    expect(yield* ask(World.about("Commit", "b"))).toBe("HoldExpired");
    expect(yield* ask(World.about("Commit", "ghost"))).toBe("HoldNotFound");
    const after = yield* Effect.forEach(names, count);
    expect(after.map((value, index) => value - (before[index] ?? 0))).toEqual([2, 1]);
  }).pipe(World.run));

describe("HybridStock, when a process dies", () => {
  /** Every place where it can: before and after each call of a port. */
  const points = [
    "StockLog.execute",
    "StockLog.open",
    "StockLog.read",
    "StockBooks.change",
    "StockBooks.execute",
    "StockBooks.forget",
  ].flatMap((name) => [`${name}.before`, `${name}.after`]);

  for (const point of points) {
    test(`at ${point}, nothing leaks and nothing is sold twice`, () =>
      Effect.gen(function* () {
        const world = yield* World.make;
        const scope = yield* Scope.make();
        let isArmed = false;
        const doomed = Effect.gen(function* () {
          const stock = yield* Scope.provide(world.connect(), scope);
          const ask = asks(stock);
          yield* ask(World.receive(3));
          yield* ask(World.reserve("first"));
          isArmed = true;
          if (point.startsWith("StockLog.open") || point.startsWith("StockBooks.change")) world.server.log = null;
          yield* ask(World.reserve("a", 1, 10_000));
          yield* ask(World.about("Commit", "first"));
          yield* ask(World.reserve("b", 1, 10_000));
          yield* ask(World.about("Release", "b"));
          yield* aWhile;
        });
        const died = yield* Deferred.make<void>();
        const handler = (name: string) =>
          isArmed && name === point ? Effect.andThen(Deferred.succeed(died, undefined), Effect.never) : Effect.void;
        const fiber = yield* Effect.forkChild(Effect.provideService(doomed, FaultPoint.Handler, handler));
        yield* World.whilePassing(Deferred.await(died));
        yield* Effect.forkChild(Scope.close(scope, Exit.void));
        yield* Effect.forkChild(Fiber.interrupt(fiber));

        const stock = yield* world.connect();
        const ask = asks(stock);
        yield* aWhile;
        for (let pass = 0; pass < 5; pass += 1) {
          for (const orderId of yield* stock.expired(10)) yield* ask({ _tag: "Expire", orderId });
          yield* aWhile;
        }
        expect(["Committed", "HoldExpired"]).toContain(yield* ask(World.about("Commit", "first")));
        const [onHand = 0, held = 0, committed = 0] = ledger(world);
        expect([onHand, held]).toEqual([3, 0]);
        // What nobody has is for sale, to the last unit.
        const free = onHand - committed;
        expect(yield* ask(World.reserve("all", free))).toBe("Reserved");
        expect(yield* ask(World.reserve("more"))).toBe("OutOfStock");
        expect(yield* ask(World.about("Commit", "all"))).toBe("Committed");
        expect(ledger(world)).toEqual([3, 0, 3]);
      }).pipe(World.run));
  }
});
