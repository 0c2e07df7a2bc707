/** The peer: a transaction a request, five statements: the idempotency key, the order, its lines, its history, the outbox. */
import * as HandWritten from "./HandWritten.ts";

const SCHEMA = "transaction";

const KEY = `insert into ${SCHEMA}.idempotency_keys (scope, key, fingerprint, answer) values ($1, $2, $3, $4)`;
const ORDER = `insert into ${SCHEMA}.orders (id, customer_id, status, total_amount, currency, payment_method, cancel_policy, cancel_requested, paid,
  version, created_at, updated_at) values ($1, $2, 'created', $3, $4, $5, $6, false, false, 1, now(), now())`;
const LINES = `insert into ${SCHEMA}.order_lines (order_id, line_no, sku, name, quantity, unit_amount, currency)
  select $1, * from unnest($2::int[], $3::text[], $4::text[], $5::int[], $6::bigint[], $7::text[])`;
const HISTORY = `insert into ${SCHEMA}.order_history (order_id, entry_no, status, at) values ($1, 1, 'created', now())`;
const OUTBOX = `insert into ${SCHEMA}.outbox (id, shard, aggregatetype, aggregateid, type, topic, payload, occurred_at, correlation_id)
  values ($1, 0, 'order', $2::text, 'order.created.v1', 'order.events', $3, now(), $2::text)`;

HandWritten.serve(SCHEMA, async (pool, { key, order, lines, message }) => {
  const [id] = order;
  const client = await pool.connect();
  try {
    await client.query("begin");
    await client.query(KEY, [...key]);
    await client.query(ORDER, [...order]);
    await client.query(LINES, [id, ...lines]);
    await client.query(HISTORY, [id]);
    await client.query(OUTBOX, [message[0], id, message[1]]);
    await client.query("commit");
  } catch (error) {
    await client.query("rollback");
    throw error;
  } finally {
    client.release();
  }
});
