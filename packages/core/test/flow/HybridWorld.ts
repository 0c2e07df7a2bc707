/** A log server that can be lost, and processes with the hybrid engine on it and on books that outlive it. */
import { Clock, Effect, Fiber, Layer, Logger, type Scope } from "effect";
import { TestClock } from "effect/testing";
import { OrderId, Quantity, Sku, type StockCommand, StockLedger, type StockReservation } from "../../src/index.ts";
import * as HybridStock from "../../src/flow/HybridStock.ts";
import * as FaultPoint from "../../src/memory/FaultPoint.ts";
import * as MemoryStock from "../../src/memory/MemoryStock.ts";
import * as MemoryStockBooks from "../../src/memory/MemoryStockBooks.ts";
import { StockLog } from "../../src/ports/StockLog.ts";
import { StoreError } from "../../src/ports/StoreError.ts";

interface Log {
  readonly generation: number;
  readonly stock: MemoryStock.Stock;
}

export class Server {
  runId = "first";
  /** `away`: every call fails; `silent`: none ends; `mute`: says who it is, and nothing else; `full`: reads, but appends nothing. */
  state: "up" | "away" | "silent" | "mute" | "full" = "up";
  log: Log | null = null;

  /** Killed, and up again, as another run, with nothing or with what it had then. */
  restart(runId: string, log: Log | null = null): void {
    this.runId = runId;
    this.log = log;
  }

  /** What a snapshot would hold. */
  snapshot(): Log | null {
    if (this.log === null) return null;
    const stock = new MemoryStock.Stock();
    const { skus, holds, adjustments, buyers } = this.log.stock;
    stock.apply({
      skus: [...skus.values()],
      holds: [...holds.values()],
      adjustments: [...adjustments.values()],
      buyers: [...buyers.values()],
    });
    return { generation: this.log.generation, stock };
  }
}

const logOf = (server: Server): Layer.Layer<StockLog> => {
  const call = <A>(method: string, kind: "read" | "write", run: (now: number) => A) =>
    FaultPoint.around(
      `StockLog.${method}`,
      Effect.flatMap(Clock.currentTimeMillis, (now): Effect.Effect<A, StoreError> => {
        if (server.state === "silent" || (server.state === "mute" && method !== "server")) return Effect.never;
        if (server.state === "away" || (server.state === "full" && kind === "write"))
          return Effect.fail(
            new StoreError({ reason: "Unavailable", operation: `StockLog.${method}`, message: `the server is ${server.state}` }),
          );
        return Effect.succeed(run(now));
      }),
    );
  const of = (generation: number): Log | null => (server.log?.generation === generation ? server.log : null);
  return Layer.succeed(StockLog, {
    server: call("server", "read", () => ({ runId: server.runId, replicationId: server.runId })),
    open: (_, generation, view) =>
      call("open", "write", () => {
        if (server.log !== null && server.log.generation > generation) return "Ended";
        if (server.log?.generation === generation) return "Opened";
        const stock = new MemoryStock.Stock();
        stock.apply({ skus: [...view.skus.values()], holds: [...view.holds.values()], adjustments: [], buyers: [...view.buyers.values()] });
        server.log = { generation, stock };
        return "Opened";
      }),
    execute: (_, generation, commands) =>
      call("execute", "write", (now) => {
        const log = of(generation);
        if (log === null) return { _tag: "Ended" };
        const { answers, writes } = StockLedger.decideBatch(log.stock.part(commands), commands, log.stock.at(now));
        log.stock.apply(writes);
        return { _tag: "Decided", answers, writes };
      }),
    read: (_, generation) => call("read", "read", () => of(generation)?.stock ?? null),
    expired: (_, generation, max) => call("expired", "read", (now) => of(generation)?.stock.expired(now, max) ?? null),
  });
};

export interface World {
  readonly server: Server;
  readonly books: MemoryStockBooks.Books;
  /** A process of its own, until its scope ends. */
  readonly connect: (options?: HybridStock.Options) => Effect.Effect<StockReservation["Service"], never, Scope.Scope>;
}

export const make: Effect.Effect<World> = Effect.map(MemoryStockBooks.make, (books) => {
  const server = new Server();
  const ports = Layer.merge(MemoryStockBooks.layerOf(books), logOf(server));
  return { server, books, connect: (options = {}) => Effect.provide(HybridStock.make(options), ports) };
});

export const apple = Sku.make("apple");

export const receive = (units: number, id = "first"): StockCommand => ({ _tag: "Adjust", id, sku: apple, delta: units });

export const reserve = (id: string, quantity = 1, ttlMillis = 600_000): StockCommand => ({
  _tag: "Reserve",
  orderId: OrderId.make(id),
  lines: [{ sku: apple, quantity: Quantity.make(quantity) }],
  ttlMillis,
});

export const about = (tag: "Commit" | "Release" | "Ship" | "Expire", id: string): StockCommand => ({
  _tag: tag,
  orderId: OrderId.make(id),
});

/** On a test clock, in a scope: nothing here sleeps. */
export const run = <A, E>(effect: Effect.Effect<A, E, Scope.Scope>): Promise<A> =>
  Effect.runPromise(Effect.scoped(effect).pipe(Effect.provide(Layer.merge(TestClock.layer(), Logger.layer([])))));

/** Waits for `effect` while time passes. */
export const whilePassing = Effect.fnUntraced(function* <A, E, R>(effect: Effect.Effect<A, E, R>) {
  const fiber = yield* Effect.forkChild(effect);
  for (let turn = 0; fiber.pollUnsafe() === undefined; turn += 1) {
    if (turn > 1_000) return yield* Effect.die(new Error("it does not end"));
    yield* TestClock.adjust(100);
  }
  return yield* Fiber.join(fiber);
});
