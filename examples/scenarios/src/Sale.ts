/**
 * A sale: n customers order the same SKU at once, and each order is followed to its end. With k units in stock exactly k
 * must finish, and the others must be canceled as out of stock.
 */
import type { OrderId } from "@org/saga-core";
import { Clock, Duration, Effect } from "effect";
import { FetchHttpClient, type HttpClient } from "effect/http";
import * as ShopClient from "./ShopClient.ts";

/** Requests in flight; more only makes a queue in front of the sockets. */
const CONCURRENCY = 64;

/** Rest between two rounds of questions, in milliseconds. */
const POLL_MS = 200;

export const DEADLINE_MS = 120_000;

export interface Options {
  readonly baseUrl: string;
  readonly sku: string;
  readonly orders: number;
  /** Units an order; 1. */
  readonly quantity?: number | undefined;
  readonly paymentMethod?: string | undefined;
  readonly deadlineMillis?: number | undefined;
  /** Begins the idempotency keys and customers; another one for every sale. */
  readonly run?: string | undefined;
}

export interface Result {
  readonly placed: number;
  /** Orders whose placing was refused. */
  readonly refused: number;
  readonly finished: ReadonlyArray<OrderId>;
  readonly canceled: ReadonlyArray<OrderId>;
  /** Orders that ended in another way. */
  readonly others: ReadonlyArray<OrderId>;
  /** Orders that have not ended within the deadline. */
  readonly open: ReadonlyArray<OrderId>;
  /** How many orders ended with which reason. */
  readonly reasons: Readonly<Record<string, number>>;
  readonly millis: number;
}

/** As a plain promise. */
export const runSale = (options: Options): Promise<Result> => Effect.runPromise(run(options).pipe(Effect.provide(FetchHttpClient.layer)));

export const run = Effect.fn("Sale.run")(function* (options: Options): Effect.fn.Return<Result, never, HttpClient.HttpClient> {
  const { baseUrl, sku, orders, quantity = 1, paymentMethod = "pm_success", deadlineMillis = DEADLINE_MS } = options;
  const shop = yield* ShopClient.make(baseUrl);
  const started = yield* Clock.currentTimeMillis;
  const runId = options.run ?? `sale-${started.toString(36)}`;
  const customers = Array.from({ length: orders }, (_, index) => `${runId}-${index}`);

  const placed = (yield* Effect.forEach(
    customers,
    (customerId) =>
      shop.place({ customerId, lines: [{ sku, quantity }], paymentMethod, idempotencyKey: customerId }).pipe(
        Effect.timeoutOption(Duration.millis(deadlineMillis)),
        Effect.map((order) => (order._tag === "Some" ? [order.value] : [])),
        Effect.catch(() => Effect.succeed([])),
      ),
    { concurrency: CONCURRENCY },
  )).flat();

  const ended: Array<ShopClient.Order> = [];
  let open: ReadonlyArray<ShopClient.Order> = placed;
  while (open.length > 0 && (yield* Clock.currentTimeMillis) - started < deadlineMillis) {
    const seen = yield* Effect.forEach(open, (order) => Effect.orElseSucceed(shop.get(order.customerId, order.id), () => order), {
      concurrency: CONCURRENCY,
    });
    ended.push(...seen.filter(ShopClient.isOver));
    open = seen.filter((order) => !ShopClient.isOver(order));
    if (open.length > 0) yield* Effect.sleep(Duration.millis(POLL_MS));
  }
  return tally(ended, open, orders - placed.length, (yield* Clock.currentTimeMillis) - started);
});

const tally = (ended: ReadonlyArray<ShopClient.Order>, open: ReadonlyArray<ShopClient.Order>, refused: number, millis: number): Result => {
  const ids = (orders: ReadonlyArray<ShopClient.Order>): ReadonlyArray<OrderId> => orders.map(({ id }) => id);
  const reasons: Record<string, number> = {};
  for (const { reason, status } of ended) reasons[reason ?? status] = (reasons[reason ?? status] ?? 0) + 1;
  return {
    placed: ended.length + open.length,
    refused,
    finished: ids(ended.filter(({ status }) => status === "finished")),
    canceled: ids(ended.filter(({ status }) => status === "canceled")),
    others: ids(ended.filter(({ status }) => status !== "finished" && status !== "canceled")),
    open: ids(open),
    reasons,
    millis,
  };
};
