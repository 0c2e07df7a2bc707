/**
 * What one writes by hand, with the same tables and the same decision: the values of an order's rows, and the pool. A peer
 * differs in how many statements it takes. 16 connections, which measured best here of 8, 16 and 32.
 */
import { randomUUID } from "node:crypto";
import { CheckoutMessages, Decider, Order } from "@org/saga-core";
import { PgStores } from "@org/saga-postgres";
import { Effect, Layer, Result } from "effect";
import pg from "pg";
import * as OrdersHttp from "./OrdersHttp.ts";

const POOL = 16;

/** The values of one order, by table. */
export interface Rows {
  readonly key: readonly [scope: string, key: string, fingerprint: string, answer: string];
  readonly order: readonly [id: string, customer: string, total: number, currency: string, method: string, policy: string];
  /** A list a column. */
  readonly lines: readonly [
    no: Array<number>,
    sku: Array<string>,
    name: Array<string>,
    quantity: Array<number>,
    unit: Array<number>,
    currency: Array<string>,
  ];
  readonly message: readonly [id: string, payload: string];
}

/** Writes the rows of one order, durably. */
export type Write = (pool: pg.Pool, rows: Rows) => Promise<unknown>;

/** Serves orders that `write` makes durable in `schema`, whose tables are made by the library's migrations. */
export const serve = (schema: string, write: Write): void => {
  const url = process.env["BENCH_PG_URL"] ?? "";
  const pool = new pg.Pool({ connectionString: url, max: POOL });
  const place: OrdersHttp.MakeDurable = (order, key) => {
    const decided = Decider.run(Order.decider, null, { ...order, _tag: "Place", now: Date.now() });
    if (Result.isFailure(decided) || decided.success.state === null) return Effect.die(new Error("not placed"));
    const { state } = decided.success;
    return Effect.as(
      Effect.promise(() => write(pool, rowsOf(state, key))),
      state,
    );
  };
  OrdersHttp.serve(Layer.succeed(OrdersHttp.Durable, place).pipe(Layer.provide(PgStores.layer({ url, schema, poolSize: 1 }))));
};

const rowsOf = (order: Order.Order, key: string): Rows => {
  const { id, customerId, lines, total, paymentMethod, cancelPolicy } = order;
  const { json } = CheckoutMessages.OrderCreated.draft({ orderId: id, customerId, lines, total, at: Date.now() });
  return {
    key: [customerId, key, key, JSON.stringify(order)],
    order: [id, customerId, total.amount, total.currency, paymentMethod, cancelPolicy],
    lines: [
      lines.map((_, index) => index + 1),
      lines.map(({ sku }) => sku),
      lines.map(({ name }) => name),
      lines.map(({ quantity }) => quantity),
      lines.map(({ unitPrice }) => unitPrice.amount),
      lines.map(({ unitPrice }) => unitPrice.currency),
    ],
    message: [randomUUID(), JSON.stringify(json)],
  };
};
