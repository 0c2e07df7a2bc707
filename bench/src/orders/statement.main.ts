/** The stronger peer: one hand-written statement a request, prepared once a connection. It commits by itself: one round trip. */
import * as HandWritten from "./HandWritten.ts";

const SCHEMA = "statement";

const PLACE = `
with claimed as (
  insert into ${SCHEMA}.idempotency_keys (scope, key, fingerprint, answer) values ($1, $2, $3, $4::json)
), placed as (
  insert into ${SCHEMA}.orders (id, customer_id, status, total_amount, currency, payment_method, cancel_policy, cancel_requested, paid,
    version, created_at, updated_at) values ($5::text, $6, 'created', $7, $8, $9, $10, false, false, 1, now(), now())
), lined as (
  insert into ${SCHEMA}.order_lines (order_id, line_no, sku, name, quantity, unit_amount, currency)
  select $5::text, * from unnest($11::int[], $12::text[], $13::text[], $14::int[], $15::bigint[], $16::text[])
), entered as (
  insert into ${SCHEMA}.order_history (order_id, entry_no, status, at) values ($5::text, 1, 'created', now())
)
insert into ${SCHEMA}.outbox (id, shard, aggregatetype, aggregateid, type, topic, payload, occurred_at, correlation_id)
values ($17, 0, 'order', $5::text, 'order.created.v1', 'order.events', $18::jsonb, now(), $5::text)`;

HandWritten.serve(SCHEMA, (pool, { key, order, lines, message }) =>
  pool.query({ name: "place", text: PLACE, values: [...key, ...order, ...lines, ...message] }),
);
