/** A sale of one SKU: far more buyers than units, several processes on the same data, each behind its own `SoldOut`. */
import { Context, Effect, Layer, type Scope } from "effect";
import { OrderId } from "../../domain/order/OrderId.ts";
import { Quantity, Sku } from "../../domain/stock/Sku.ts";
import type { Reserve, StockCommand } from "../../domain/stock/StockCommand.ts";
import * as SoldOut from "../../flow/SoldOut.ts";
import { StockReservation } from "../../ports/StockReservation.ts";
import type { StoreError } from "../../ports/StoreError.ts";
import * as Contract from "../Contract.ts";
import { Rivals } from "./StockContention.ts";
import { same, TTL_MS, word } from "./StockShop.ts";

type Engine = StockReservation["Service"];

const BUYERS = 10_000;
const UNITS = 100;

/** Buyers at a time in one process: what a server has of open requests. */
const AT_ONCE = 64;

/** A process: an engine of its own, and how many commands it was asked. */
interface Process {
  readonly stock: Engine;
  readonly buy: (name: string) => Effect.Effect<string, StoreError>;
  readonly asked: () => number;
}

interface Sale {
  readonly sku: Sku;
  readonly processes: ReadonlyArray<Process>;
  readonly release: (process: Process, name: string) => Effect.Effect<void, StoreError>;
}

const open = Effect.fnUntraced(function* (units: number): Effect.fn.Return<Sale, StoreError, Rivals | Scope.Scope> {
  const sku = Sku.make(yield* Contract.unique("hot"));
  const orderId = (name: string): OrderId => OrderId.make(`${sku}-${name}`);
  const processes = yield* Effect.forEach(yield* Rivals, (engine) =>
    process(engine, (name) => ({
      _tag: "Reserve",
      orderId: orderId(name),
      lines: [{ sku, quantity: Quantity.make(1) }],
      ttlMillis: TTL_MS,
    })),
  );
  yield* Effect.forEach(processes.slice(0, 1), ({ stock }) =>
    stock.execute([{ _tag: "Adjust", id: `${sku}-delivery`, sku, delta: units }]),
  );
  const release: Sale["release"] = ({ stock }, name) => stock.execute([{ _tag: "Release", orderId: orderId(name) }]);
  return { sku, processes, release };
});

const process = Effect.fnUntraced(function* (engine: Engine, request: (name: string) => Reserve) {
  let asked = 0;
  const execute = (commands: ReadonlyArray<StockCommand>) => Effect.suspend(() => ((asked += commands.length), engine.execute(commands)));
  const context = yield* Layer.build(
    Layer.fresh(SoldOut.layer.pipe(Layer.provide(Layer.succeed(StockReservation, { ...engine, execute })))),
  );
  const { first } = Context.get(context, SoldOut.SoldOut);
  const it: Process = {
    stock: Context.get(context, StockReservation),
    buy: (name) => Effect.map(first([request(name)]), ([answer]) => (answer === undefined ? "nothing" : word(answer))),
    asked: () => asked,
  };
  return it;
});

const booksOf = Effect.fnUntraced(function* ({ sku, processes }: Sale) {
  const all = yield* Effect.forEach(processes, ({ stock }) => stock.balances([sku]));
  return all.map((balances) => {
    const { onHand, held, available } = balances.get(sku) ?? { onHand: 0, held: 0, available: 0 };
    return { onHand, held, available };
  });
});

const rush = Effect.gen(function* () {
  const sale = yield* open(UNITS);
  const { processes } = sale;
  const buyers = Array.from({ length: Math.ceil(BUYERS / processes.length) }, (_, buyer) => buyer);
  const heard = yield* Effect.forEach(
    processes,
    ({ buy }, at) => Effect.forEach(buyers, (buyer) => buy(`${at}-${buyer}`), { concurrency: AT_ONCE }),
    { concurrency: "unbounded" },
  );
  const words = heard.flat();
  yield* same(words.filter((each) => each === "Reserved").length, UNITS, "winners");
  yield* same(words.filter((each) => each === "OutOfStock").length, words.length - UNITS, "losers");
  for (const books of yield* booksOf(sale)) yield* same(books, { onHand: UNITS, held: UNITS, available: 0 }, "books");
  const asked = processes.reduce((sum, each) => sum + each.asked(), 0);
  yield* Contract.isTrue(
    asked < words.length / 2,
    `losers are answered without the engine, which heard ${asked} of ${words.length} commands`,
  );
});

const comeback = Effect.gen(function* () {
  const sale = yield* open(1);
  const [here, elsewhere] = sale.processes;
  if (here === undefined || elsewhere === undefined) return yield* Contract.fail("a rivalry needs two engines");
  yield* same([yield* here.buy("a"), yield* here.buy("b"), yield* elsewhere.buy("c")], ["Reserved", "OutOfStock", "OutOfStock"]);
  yield* sale.release(here, "a");
  yield* same(yield* here.buy("d"), "Reserved", "at once where it came back");
  yield* same(yield* elsewhere.buy("e"), "OutOfStock");
  yield* sale.release(here, "d");
  yield* Contract.wait(SoldOut.SOLD_OUT_MS + 1);
  yield* same(yield* elsewhere.buy("f"), "Reserved", "elsewhere, once the mark has lapsed");
  for (const books of yield* booksOf(sale)) yield* same(books, { onHand: 1, held: 1, available: 0 }, "books");
});

/** Run them with two engines or more, each as a process of its own has it. */
export const cases: ReadonlyArray<Contract.Case<Rivals>> = [
  Contract.check(
    `sells ${UNITS} units to exactly ${UNITS} of ${BUYERS} buyers, and answers nearly all others by itself`,
    Effect.scoped(rush),
  ),
  Contract.check("sells what came back: at once here, elsewhere within a quarter of a second", Effect.scoped(comeback)),
];
