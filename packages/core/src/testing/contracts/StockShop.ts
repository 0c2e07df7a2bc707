/** A shop of its own for one case of the stock contract: its own SKUs and orders on a shared engine. */
import { Effect, Result } from "effect";
import { OrderId } from "../../domain/order/OrderId.ts";
import { Quantity, Sku, type StockLine } from "../../domain/stock/Sku.ts";
import type { Adjust, Reserve, StockAccepted, StockBalance, StockCommand, StockRejection } from "../../domain/stock/StockCommand.ts";
import type { Answer } from "../../domain/stock/StockLedger.ts";
import type { TakenLine, Warehouse } from "../../domain/stock/Warehouse.ts";
import { StockReservation } from "../../ports/StockReservation.ts";
import type { StoreError } from "../../ports/StoreError.ts";
import * as Contract from "../Contract.ts";

/** Long enough that no hold of a case ends by accident. */
export const TTL_MS = 60_000;

/** More than all cases together leave behind. */
const LISTED_MAX = 10_000;

export type Books = Omit<StockBalance, "sku">;

export interface Shop {
  /** Prefix of everything in this shop. */
  readonly tag: string;
  readonly order: (name: string) => OrderId;
  readonly unknownSku: (name: string) => Sku;
  /** A new SKU with so many units. */
  readonly sku: (units: number) => Effect.Effect<Sku, StoreError | Contract.Violation>;
  readonly ask: (command: StockCommand) => Effect.Effect<Answer, StoreError | Contract.Violation>;
  readonly askAll: (commands: ReadonlyArray<StockCommand>) => Effect.Effect<ReadonlyArray<Answer>, StoreError>;
  readonly reserve: (
    name: string,
    lines: ReadonlyArray<StockLine>,
    ttlMillis?: number,
  ) => Effect.Effect<Answer, StoreError | Contract.Violation>;
  /** A reserve with wishes. */
  readonly request: (
    name: string,
    lines: ReadonlyArray<StockLine>,
    wishes: Omit<Reserve, "_tag" | "orderId" | "lines" | "ttlMillis">,
  ) => Effect.Effect<Answer, StoreError | Contract.Violation>;
  readonly adjust: (
    name: string,
    sku: Sku,
    delta: number,
    how?: Pick<Adjust, "kind" | "warehouse">,
  ) => Effect.Effect<Answer, StoreError | Contract.Violation>;
  readonly books: (sku: Sku) => Effect.Effect<Books, StoreError | Contract.Violation>;
  readonly balances: (skus: ReadonlyArray<Sku>) => Effect.Effect<ReadonlyMap<Sku, StockBalance>, StoreError>;
  readonly allBalances: Effect.Effect<ReadonlyArray<StockBalance>, StoreError>;
  readonly expired: Effect.Effect<ReadonlyArray<OrderId>, StoreError>;
  readonly expiredUpTo: (max: number) => Effect.Effect<ReadonlyArray<OrderId>, StoreError>;
}

export const line = (sku: Sku, quantity: number): StockLine => ({ sku, quantity: Quantity.make(quantity) });

/** What was taken from a warehouse that is not the default one. */
export const lineOf = (sku: Sku, quantity: number, warehouse: Warehouse): TakenLine => ({ ...line(sku, quantity), warehouse });

export const yes = (accepted: StockAccepted): Answer => Result.succeed(accepted);

export const no = (rejection: StockRejection): Answer => Result.fail(rejection);

/** The word of an answer. */
export const word = (answer: Answer): string => (Result.isSuccess(answer) ? answer.success._tag : answer.failure._tag);

export const same = <A>(actual: A, expected: A, what = "answer"): Effect.Effect<void, Contract.Violation> =>
  Contract.equal(actual, expected, what);

/** What a reserve was granted, or nothing. */
export const granted = (answer: Answer): ReadonlyArray<TakenLine> =>
  Result.isSuccess(answer) && answer.success._tag === "Reserved" ? answer.success.lines : [];

export const alive = (answer: Answer): boolean => Result.isSuccess(answer) && answer.success._tag === "Reserved";

export const of = (stock: StockReservation["Service"], tag: string): Shop => {
  let named = 0;
  const order = (name: string): OrderId => OrderId.make(`${tag}-${name}`);
  const ask = (command: StockCommand) =>
    Effect.flatMap(stock.execute([command]), ([answer]) =>
      answer === undefined ? Contract.fail("one answer per command") : Effect.succeed(answer),
    );
  const adjust: Shop["adjust"] = (name, sku, delta, how = {}) => ask({ _tag: "Adjust", id: `${tag}-${name}`, sku, delta, ...how });
  return {
    tag,
    order,
    unknownSku: (name) => Sku.make(`${tag}.${name}`),
    sku: (units) =>
      Effect.suspend(() => {
        named += 1;
        const sku = Sku.make(`${tag}.sku${named}`);
        return Effect.as(adjust(`seed${named}`, sku, units), sku);
      }),
    ask,
    askAll: stock.execute,
    reserve: (name, lines, ttlMillis = TTL_MS) => ask({ _tag: "Reserve", orderId: order(name), lines, ttlMillis }),
    request: (name, lines, wishes) => ask({ _tag: "Reserve", orderId: order(name), lines, ttlMillis: TTL_MS, ...wishes }),
    adjust,
    books: (sku) =>
      Effect.flatMap(stock.balances([sku]), (balances) => {
        const balance = balances.get(sku);
        if (balance === undefined) return Contract.fail("the SKU is not known");
        const { sku: _, ...books } = balance;
        return Effect.succeed(books);
      }),
    balances: stock.balances,
    allBalances: stock.allBalances,
    expired: stock.expired(LISTED_MAX),
    expiredUpTo: stock.expired,
  };
};

export const open: Effect.Effect<Shop, never, StockReservation> = Effect.flatMap(StockReservation, (stock) =>
  Effect.map(Contract.unique("shop"), (tag) => of(stock, tag)),
);

/** The same shop at each of several engines (processes) on the same data. */
export type Shops = readonly [Shop, ...ReadonlyArray<Shop>];

export const shopsOf = Effect.fnUntraced(function* (engines: ReadonlyArray<StockReservation["Service"]>): Effect.fn.Return<Shops> {
  const tag = yield* Contract.unique("shop");
  const [first, ...rest] = engines.map((engine) => of(engine, tag));
  if (first === undefined) return yield* Effect.die(new Error("at least one engine"));
  return [first, ...rest];
});

export const at = (shops: Shops, index: number): Shop => shops[index % shops.length] ?? shops[0];

/** Asks until the hold has ended: engines have clocks of their own. */
export const expire = (shop: Shop, name: string): Effect.Effect<void, StoreError | Contract.Violation> =>
  Effect.flatMap(shop.ask({ _tag: "Expire", orderId: shop.order(name) }), (answer) =>
    Result.isFailure(answer) && answer.failure._tag === "HoldAlive"
      ? Effect.andThen(
          Contract.wait(1),
          Effect.suspend(() => expire(shop, name)),
        )
      : Effect.void,
  );

/** A case in a shop of its own. */
export const sentence = <E>(name: string, run: (shop: Shop) => Effect.Effect<void, E, StockReservation>): Contract.Case<StockReservation> =>
  Contract.check(name, Effect.flatMap(open, run));
