/**
 * The peer: what one writes by hand. A transaction a request, five statements: the idempotency key, the order, its lines,
 * its history, the outbox. A pool of 16 connections, which measured best here of 8, 16 and 32.
 */
import { randomUUID } from "node:crypto";
import { Order, Decider, CheckoutMessages } from "@org/saga-core";
import { PgStores } from "@org/saga-postgres";
import { Effect, Layer, Result } from "effect";
import pg from "pg";
import * as OrdersHttp from "./OrdersHttp.ts";

const SCHEMA = "transaction";
const POOL = 16;

const KEY = `insert into ${SCHEMA}.idempotency_keys (scope, key, fingerprint, answer) values ($1, $2, $3, $4)`;
const ORDER = `insert into ${SCHEMA}.orders (id, customer_id, status, total_amount, currency, payment_method, cancel_policy, cancel_requested, paid,
  version, created_at, updated_at) values ($1, $2, 'created', $3, $4, $5, $6, false, false, 1, now(), now())`;
const LINES = `insert into ${SCHEMA}.order_lines (order_id, line_no, sku, name, quantity, unit_amount, currency)
  select $1, * from unnest($2::int[], $3::text[], $4::text[], $5::int[], $6::bigint[], $7::text[])`;
const HISTORY = `insert into ${SCHEMA}.order_history (order_id, entry_no, status, at) values ($1, 1, 'created', now())`;
const OUTBOX = `insert into ${SCHEMA}.outbox (id, shard, aggregatetype, aggregateid, type, topic, payload, occurred_at, correlation_id)
  values ($1, 0, 'order', $2::text, 'order.created.v1', 'order.events', $3, now(), $2::text)`;

const pool = new pg.Pool({ connectionString: process.env["BENCH_PG_URL"], max: POOL });

const transact = async (order: Order.Order, key: string): Promise<Order.Order> => {
  const { id, customerId, lines, total, paymentMethod, cancelPolicy } = order;
  const client = await pool.connect();
  try {
    await client.query("begin");
    await client.query(KEY, [customerId, key, key, JSON.stringify(order)]);
    await client.query(ORDER, [id, customerId, total.amount, total.currency, paymentMethod, cancelPolicy]);
    await client.query(LINES, [
      id,
      lines.map((_, index) => index + 1),
      lines.map(({ sku }) => sku),
      lines.map(({ name }) => name),
      lines.map(({ quantity }) => quantity),
      lines.map(({ unitPrice }) => unitPrice.amount),
      lines.map(({ unitPrice }) => unitPrice.currency),
    ]);
    await client.query(HISTORY, [id]);
    const { json } = CheckoutMessages.OrderCreated.draft({ orderId: id, customerId, lines, total, at: Date.now() });
    await client.query(OUTBOX, [randomUUID(), id, JSON.stringify(json)]);
    await client.query("commit");
    return order;
  } catch (error) {
    await client.query("rollback");
    throw error;
  } finally {
    client.release();
  }
};

const place: OrdersHttp.MakeDurable = (order, key) => {
  const decided = Decider.run(Order.decider, null, { ...order, _tag: "Place", now: Date.now() });
  if (Result.isFailure(decided) || decided.success.state === null) return Effect.die(new Error("not placed"));
  const { state } = decided.success;
  return Effect.promise(() => transact(state, key));
};

// The same tables, made by the same migrations.
const tables = PgStores.layer({ url: process.env["BENCH_PG_URL"] ?? "", schema: SCHEMA, poolSize: 1 });

OrdersHttp.serve(Layer.succeed(OrdersHttp.Durable, place).pipe(Layer.provide(tables)));
