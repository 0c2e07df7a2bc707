/**
 * `OrderStore` on PostgreSQL: orders, lines and history as relations. A batch is one statement, whatever its size.
 */
import { Order, OrderId, OrderStatus, OrderStore, type OrderChange, StateMachine, type StoreError, type Transaction } from "@org/saga-core";
import { Effect, Layer } from "effect";
import { PgClient } from "./PgClient.ts";
import * as PgTransaction from "./PgTransaction.ts";
import * as PgText from "./PgText.ts";
import * as PgTime from "./PgTime.ts";

export const layer: Layer.Layer<OrderStore, never, PgClient> = Layer.effect(
  OrderStore,
  Effect.map(PgClient, (client) => {
    const LOCK = lockStatement(client.tables);
    const READ = readStatement(client.tables);
    const WRITE = writeStatement(client.tables);
    return {
      load: Effect.fnUntraced(function* (ids: ReadonlyArray<OrderId>) {
        const { rows } = yield* client.within<{ readonly id: OrderId }>("OrderStore.load", LOCK, [ids]);
        if (rows.length === 0) return new Map();
        // A statement of its own: only one that begins after the locks were granted sees what their last owners wrote.
        const read = yield* client.within<OrderRow>("OrderStore.load", READ, [rows.map((row) => row.id)]);
        return ordersOf(read.rows);
      }),
      save: (changes) => save(client, WRITE, changes),
      find: Effect.fnUntraced(function* (ids: ReadonlyArray<OrderId>) {
        const { rows } = yield* client.query<OrderRow>("OrderStore.find", READ, [ids]);
        return ordersOf(rows);
      }),
    };
  }),
);

const lockStatement = (tables: string): string => `
select id from ${tables}orders where id = any($1::text[]) order by id for update`;

/** Lines and history as lists in the order's own row: one round trip, no join to multiply rows. */
const readStatement = (tables: string): string => `
select o.id, o.customer_id, o.status, o.reason, o.total_amount::float8 as total_amount, o.currency, o.payment_method,
  o.cancel_policy, o.cancel_requested, o.paid, o.version,
  (select json_agg(json_build_array(l.sku, l.name, l.quantity, l.unit_amount, l.currency) order by l.line_no)
     from ${tables}order_lines l where l.order_id = o.id) as lines,
  (select json_agg(json_build_array(h.status, ${PgTime.millis("h.at")}, h.reason) order by h.entry_no)
     from ${tables}order_history h where h.order_id = o.id) as history
from ${tables}orders o where o.id = any($1::text[]) order by o.id`;

/**
 * $1–$15 orders, new ones without `before_version`; $16–$22 lines; $23–$27 history. The guard is version and status as
 * they were loaded; that the way between them is legal was checked by the table of `OrderStatus`.
 */
const writeStatement = (tables: string): string => `
with change as (
  select * from unnest($1::text[], $2::int[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[], $8::text[], $9::text[],
    $10::text[], $11::bool[], $12::bool[], $13::int[], $14::float8[], $15::float8[])
  as c(id, before_version, before_status, customer_id, status, reason, total_amount, currency, payment_method,
    cancel_policy, cancel_requested, paid, version, created_at, updated_at)
), created as (
  insert into ${tables}orders (id, customer_id, status, reason, total_amount, currency, payment_method, cancel_policy,
    cancel_requested, paid, version, created_at, updated_at)
  select id, customer_id, status, reason, total_amount, currency, payment_method, cancel_policy,
    cancel_requested, paid, version, ${PgTime.moment("created_at")}, ${PgTime.moment("updated_at")}
  from change where before_version is null order by id
), changed as (
  update ${tables}orders o set status = c.status, reason = c.reason, cancel_requested = c.cancel_requested, paid = c.paid,
    version = c.version, updated_at = ${PgTime.moment("c.updated_at")}
  from change c where o.id = any($1::text[]) and ${PgText.equal("o.id", "c.id")} and o.version = c.before_version and o.status = c.before_status
  returning o.id
), lines as (
  insert into ${tables}order_lines (order_id, line_no, sku, name, quantity, unit_amount, currency)
  select * from unnest($16::text[], $17::int[], $18::text[], $19::text[], $20::int[], $21::bigint[], $22::text[])
), entries as (
  insert into ${tables}order_history (order_id, entry_no, status, at, reason)
  select order_id, entry_no, status, ${PgTime.moment("at")}, reason
  from unnest($23::text[], $24::int[], $25::text[], $26::float8[], $27::text[]) as h(order_id, entry_no, status, at, reason)
)
select (select count(*) from changed)::int as changed`;

interface OrderRow {
  readonly id: OrderId;
  readonly customer_id: Order.Order["customerId"];
  readonly status: Order.Order["status"];
  readonly reason: Order.Order["reason"];
  readonly total_amount: number;
  readonly currency: Order.Order["total"]["currency"];
  readonly payment_method: string;
  readonly cancel_policy: Order.Order["cancelPolicy"];
  readonly cancel_requested: boolean;
  readonly paid: boolean;
  readonly version: number;
  readonly lines: ReadonlyArray<
    readonly [Order.OrderLine["sku"], string, Order.OrderLine["quantity"], number, Order.OrderLine["unitPrice"]["currency"]]
  > | null;
  readonly history: ReadonlyArray<readonly [Order.Order["status"], number, Order.Order["reason"]]> | null;
}

const ordersOf = (rows: ReadonlyArray<OrderRow>): ReadonlyMap<OrderId, Order.Order> => new Map(rows.map((row) => [row.id, orderOf(row)]));

const orderOf = (row: OrderRow): Order.Order => ({
  id: row.id,
  customerId: row.customer_id,
  lines: (row.lines ?? []).map(([sku, name, quantity, amount, currency]) => ({ sku, name, quantity, unitPrice: { amount, currency } })),
  total: { amount: row.total_amount, currency: row.currency },
  paymentMethod: row.payment_method,
  cancelPolicy: row.cancel_policy,
  status: row.status,
  reason: row.reason,
  cancelRequested: row.cancel_requested,
  paid: row.paid,
  history: (row.history ?? []).map(([status, at, reason]) => ({ status, at, reason })),
  version: row.version,
});

const save = Effect.fnUntraced(function* (
  client: PgClient["Service"],
  statement: string,
  changes: ReadonlyArray<OrderChange>,
): Effect.fn.Return<void, StoreError, Transaction> {
  const transaction = yield* PgTransaction.current(client.driver, "OrderStore.save");
  if (changes.length === 0) return;
  const illegal = changes.find((change) => !isLegal(change));
  if (illegal !== undefined) {
    const text = `an order cannot become ${illegal.after.status} on the way that its history tells`;
    return yield* PgTransaction.doom(transaction, PgTransaction.failure("Refused", "OrderStore.save", text));
  }
  const { rows } = yield* client.within<{ readonly changed: number }>("OrderStore.save", statement, [
    ...headerColumns(changes),
    ...lineColumns(changes),
    ...historyColumns(changes),
  ]);
  const expected = changes.filter((change) => change.before !== null).length;
  if (rows[0]?.changed !== expected) {
    const text = `${expected - (rows[0]?.changed ?? 0)} of ${expected} orders were changed by somebody else`;
    return yield* PgTransaction.doom(transaction, PgTransaction.failure("Contention", "OrderStore.save", text));
  }
});

/** The new entries follow each other, and the loaded status, by the table (G7); the last one is the status. */
const isLegal = ({ before, after }: OrderChange): boolean => {
  let status = before === null ? null : before.status;
  for (const entry of newEntries({ before, after })) {
    const follows =
      status === null ? entry.status === OrderStatus.machine.initial : StateMachine.can(OrderStatus.machine, status, entry.status);
    if (!follows) return false;
    status = entry.status;
  }
  return status === after.status;
};

const newEntries = ({ before, after }: OrderChange) => after.history.slice(before === null ? 0 : before.history.length);

const headerColumns = (changes: ReadonlyArray<OrderChange>) => {
  const after = changes.map((change) => change.after);
  return [
    after.map((order) => order.id),
    changes.map((change) => change.before?.version ?? null),
    changes.map((change) => change.before?.status ?? null),
    after.map((order) => order.customerId),
    after.map((order) => order.status),
    after.map((order) => order.reason),
    after.map((order) => order.total.amount),
    after.map((order) => order.total.currency),
    after.map((order) => order.paymentMethod),
    after.map((order) => order.cancelPolicy),
    after.map((order) => order.cancelRequested),
    after.map((order) => order.paid),
    after.map((order) => order.version),
    after.map((order) => order.history[0]?.at ?? 0),
    after.map((order) => order.history.at(-1)?.at ?? 0),
  ];
};

const lineColumns = (changes: ReadonlyArray<OrderChange>) => {
  const lines = changes.flatMap(({ before, after }) =>
    before === null ? after.lines.map((line, index) => ({ id: after.id, number: index + 1, line })) : [],
  );
  return [
    lines.map(({ id }) => id),
    lines.map(({ number }) => number),
    lines.map(({ line }) => line.sku),
    lines.map(({ line }) => line.name),
    lines.map(({ line }) => line.quantity),
    lines.map(({ line }) => line.unitPrice.amount),
    lines.map(({ line }) => line.unitPrice.currency),
  ];
};

const historyColumns = (changes: ReadonlyArray<OrderChange>) => {
  const entries = changes.flatMap((change) => {
    const known = change.before?.history.length ?? 0;
    return newEntries(change).map((entry, index) => ({ id: change.after.id, number: known + index + 1, entry }));
  });
  return [
    entries.map(({ id }) => id),
    entries.map(({ number }) => number),
    entries.map(({ entry }) => entry.status),
    entries.map(({ entry }) => entry.at),
    entries.map(({ entry }) => entry.reason),
  ];
};
