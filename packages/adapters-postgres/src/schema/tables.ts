/**
 * The tables of a service as drizzle knows them, for queries of users: `const { orders } = tables("order")`. With a table
 * prefix: `tables("order", "app_")`.
 *
 * The migrations are the source; a test compares these definitions with the migrated database. Times come as `Date`,
 * amounts in minor units as numbers.
 */
import { sql } from "drizzle-orm";
import {
  bigint,
  boolean,
  customType,
  integer,
  json,
  jsonb,
  PgSchema,
  primaryKey,
  smallint,
  text,
  timestamp,
  uuid,
  varchar,
} from "drizzle-orm/pg-core";
import { Order, OrderStatus } from "@org/saga-core";
import { DEFAULT_TABLE_PREFIX } from "../PgConfig.ts";
import { stockTables } from "./stockTables.ts";

/** The definitions in the schema of one service. `tablePrefix` is that of its client. */
export const tables = (schema: string, tablePrefix: string = DEFAULT_TABLE_PREFIX) => {
  // The function `pgSchema` refuses "public"; the class does not.
  const table = prefixed(new PgSchema(schema).table, tablePrefix);
  return { ...stateTables(table), ...messageTables(table), ...supportTables(table), ...stockTables(table) };
};

export type Tables = ReturnType<typeof tables>;

type Table = PgSchema["table"];

/** The same function, overloads and all; names get the prefix. */
const prefixed = (table: Table, prefix: string): Table =>
  new Proxy(table, {
    apply: (target, self: unknown, [name, ...rest]: ReadonlyArray<unknown>): unknown =>
      Reflect.apply(target, self, [`${prefix}${String(name)}`, ...rest]),
  });

const AT = { withTimezone: true, mode: "date" } as const;
const NAME_MAX = 255;
/** The migration's own expression. */
const DEFAULT = sql`default`;
const bytes = customType<{ data: Uint8Array }>({ dataType: () => "bytea" });

const stateTables = (table: Table) => ({
  orders: table("orders", {
    id: text("id").primaryKey(),
    customerId: text("customer_id").notNull(),
    status: text("status", { enum: OrderStatus.OrderStatus.literals }).notNull(),
    reason: text("reason", { enum: OrderStatus.Reason.literals }),
    totalAmount: bigint("total_amount", { mode: "number" }).notNull(),
    currency: text("currency").notNull(),
    paymentMethod: text("payment_method").notNull(),
    cancelPolicy: text("cancel_policy", { enum: Order.CancelPolicy.literals }).notNull(),
    cancelRequested: boolean("cancel_requested").notNull(),
    paid: boolean("paid").notNull(),
    version: integer("version").notNull(),
    createdAt: timestamp("created_at", AT).notNull(),
    updatedAt: timestamp("updated_at", AT).notNull(),
  }),
  orderLines: table(
    "order_lines",
    {
      orderId: text("order_id").notNull(),
      lineNo: integer("line_no").notNull(),
      sku: text("sku").notNull(),
      name: text("name").notNull(),
      quantity: integer("quantity").notNull(),
      unitAmount: bigint("unit_amount", { mode: "number" }).notNull(),
      currency: text("currency").notNull(),
    },
    (columns) => [primaryKey({ columns: [columns.orderId, columns.lineNo] })],
  ),
  orderHistory: table(
    "order_history",
    {
      orderId: text("order_id").notNull(),
      entryNo: integer("entry_no").notNull(),
      status: text("status", { enum: OrderStatus.OrderStatus.literals }).notNull(),
      at: timestamp("at", AT).notNull(),
      reason: text("reason", { enum: OrderStatus.Reason.literals }),
    },
    (columns) => [primaryKey({ columns: [columns.orderId, columns.entryNo] })],
  ),
  sagas: table(
    "sagas",
    {
      saga: text("saga").notNull(),
      id: text("id").notNull(),
      version: integer("version").notNull(),
      status: text("status").notNull(),
      revision: integer("revision").notNull(),
      state: json("state").notNull(),
      createdAt: timestamp("created_at", AT).notNull().defaultNow(),
      updatedAt: timestamp("updated_at", AT).notNull().defaultNow(),
    },
    (columns) => [primaryKey({ columns: [columns.id, columns.saga] })],
  ),
  sagaVersions: table(
    "saga_versions",
    {
      saga: text("saga").notNull(),
      version: integer("version").notNull(),
      fingerprint: text("fingerprint").notNull(),
      shape: json("shape").notNull(),
      createdAt: timestamp("created_at", AT).notNull().defaultNow(),
    },
    (columns) => [primaryKey({ columns: [columns.saga, columns.version] })],
  ),
  documents: table(
    "documents",
    {
      kind: text("kind").notNull(),
      id: text("id").notNull(),
      revision: integer("revision").notNull(),
      state: json("state").notNull(),
      createdAt: timestamp("created_at", AT).notNull().defaultNow(),
      updatedAt: timestamp("updated_at", AT).notNull().defaultNow(),
    },
    (columns) => [primaryKey({ columns: [columns.id, columns.kind] })],
  ),
});

/** What a message carries along, in the outbox and as a dead letter. */
const trail = () => ({
  correlationId: text("correlation_id").notNull(),
  causationId: text("causation_id"),
  stepKey: text("step_key"),
  saga: text("saga"),
  traceparent: text("traceparent"),
  tracestate: text("tracestate"),
});

const messageTables = (table: Table) => ({
  // Partitioned by slot; both have defaults.
  outbox: table("outbox", {
    seq: bigint("seq", { mode: "number" }).notNull().default(DEFAULT),
    slot: smallint("slot").notNull().default(DEFAULT),
    id: uuid("id").notNull(),
    shard: smallint("shard").notNull(),
    aggregatetype: varchar("aggregatetype", { length: NAME_MAX }).notNull(),
    aggregateid: varchar("aggregateid", { length: NAME_MAX }).notNull(),
    type: varchar("type", { length: NAME_MAX }).notNull(),
    topic: varchar("topic", { length: NAME_MAX }).notNull(),
    payload: jsonb("payload").notNull(),
    headers: jsonb("headers").notNull().default({}),
    occurredAt: timestamp("occurred_at", AT).notNull(),
    ...trail(),
    createdAt: timestamp("created_at", AT).notNull().defaultNow(),
    sentAt: timestamp("sent_at", AT),
    parkedAt: timestamp("parked_at", AT),
    parkedAs: text("parked_as", { enum: ["blocking", "aside", "held", "discarded"] }),
  }),
  outboxDecisions: table("outbox_decisions", {
    seq: bigint("seq", { mode: "number" }).primaryKey().generatedAlwaysAsIdentity(),
    messageId: text("message_id").notNull(),
    type: text("type").notNull(),
    topic: text("topic").notNull(),
    key: text("key").notNull(),
    decision: text("decision", { enum: ["retry", "discard"] }).notNull(),
    decidedBy: text("decided_by").notNull(),
    reason: text("reason").notNull(),
    decidedAt: timestamp("decided_at", AT).notNull().defaultNow(),
  }),
  inbox: table(
    "inbox",
    {
      consumer: text("consumer").notNull(),
      messageId: text("message_id").notNull(),
      admittedAt: timestamp("admitted_at", AT).notNull().defaultNow(),
    },
    (columns) => [primaryKey({ columns: [columns.messageId, columns.consumer] })],
  ),
  inboxQueue: table(
    "inbox_queue",
    {
      consumer: text("consumer").notNull(),
      messageId: text("message_id").notNull(),
      shard: smallint("shard").notNull(),
      lane: integer("lane").notNull(),
      topic: text("topic").notNull(),
      partitionNo: integer("partition_no").notNull(),
      offsetNo: bigint("offset_no", { mode: "number" }).notNull(),
      type: text("type").notNull(),
      key: text("key").notNull(),
      problem: text("problem"),
      record: json("record").notNull(),
      state: text("state", { enum: ["ready", "failed", "held"] })
        .notNull()
        .default("ready"),
      attempts: integer("attempts").notNull().default(0),
      nextAt: timestamp("next_at", AT),
      storedAt: timestamp("stored_at", AT).notNull().defaultNow(),
    },
    (columns) => [primaryKey({ columns: [columns.messageId, columns.consumer] })],
  ),
  inboxPullers: table("inbox_pullers", {
    consumer: text("consumer").primaryKey(),
    fence: bigint("fence", { mode: "number" }).notNull(),
  }),
  deadLetters: table(
    "dead_letters",
    {
      seq: bigint("seq", { mode: "number" }).notNull().generatedAlwaysAsIdentity(),
      consumer: text("consumer").notNull(),
      messageId: text("message_id").notNull(),
      position: text("position").notNull(),
      problem: text("problem").notNull(),
      detail: text("detail").notNull(),
      attempts: integer("attempts").notNull(),
      at: timestamp("at", AT).notNull(),
      type: text("type").notNull(),
      topic: text("topic").notNull(),
      key: text("key").notNull(),
      occurredAt: timestamp("occurred_at", AT).notNull(),
      ...trail(),
      payload: bytes("payload").notNull(),
    },
    (columns) => [primaryKey({ columns: [columns.consumer, columns.messageId] })],
  ),
});

const supportTables = (table: Table) => ({
  timers: table(
    "timers",
    {
      owner: text("owner").notNull(),
      key: text("key").notNull(),
      name: text("name").notNull(),
      token: text("token").notNull(),
      dueAt: timestamp("due_at", AT).notNull(),
      claimableAt: timestamp("claimable_at", AT).notNull(),
    },
    (columns) => [primaryKey({ columns: [columns.key, columns.owner, columns.name] })],
  ),
  idempotencyKeys: table(
    "idempotency_keys",
    {
      scope: text("scope").notNull(),
      key: text("key").notNull(),
      fingerprint: text("fingerprint").notNull(),
      answer: json("answer"),
      claimedAt: timestamp("claimed_at", AT).notNull().defaultNow(),
    },
    (columns) => [primaryKey({ columns: [columns.key, columns.scope] })],
  ),
  batches: table("batches", {
    id: uuid("id").primaryKey(),
    begunAt: timestamp("begun_at", AT).notNull().defaultNow(),
    fenced: boolean("fenced").notNull().default(false),
  }),
  locks: table("locks", {
    name: text("name").primaryKey(),
    owner: text("owner").notNull(),
    fence: bigint("fence", { mode: "number" }).notNull(),
    expiresAt: timestamp("expires_at", AT).notNull(),
  }),
});
