/** The tables of the stock ledger (`0002_stock`, `0007_stock_engine`, `0008_stock_shards`, `0011_stock_revoked`) as drizzle knows them. */
import { type OrderId, type StockJournal, StockLedger, type TakenLine } from "@org/saga-core";
import { sql } from "drizzle-orm";
import { bigint, integer, json, jsonb, type PgSchema, primaryKey, text, timestamp } from "drizzle-orm/pg-core";

const AT = { withTimezone: true, mode: "date" } as const;

const units = (name: string) => bigint(name, { mode: "number" }).notNull();

export const stockTables = (table: PgSchema["table"]) => ({
  stockSkus: table("stock_skus", {
    sku: text("sku").primaryKey(),
    onHand: units("on_hand"),
    held: units("held"),
    committed: units("committed"),
    shortage: units("shortage"),
    changedAt: timestamp("changed_at", AT).notNull(),
    elsewhere: jsonb("elsewhere").$type<ReadonlyArray<StockLedger.Shelf>>(),
  }),
  stockHolds: table("stock_holds", {
    orderId: text("order_id").primaryKey(),
    status: text("status", { enum: StockLedger.HoldStatus.literals }).notNull(),
    lines: json("lines").$type<ReadonlyArray<TakenLine>>().notNull(),
    until: timestamp("until", AT).notNull(),
    reason: text("reason", { enum: StockLedger.ReturnReason.literals }),
    reservedAt: timestamp("reserved_at", AT).notNull(),
    changedAt: timestamp("changed_at", AT).notNull(),
    asked: jsonb("asked").$type<StockLedger.Asked>(),
  }),
  stockAdjustments: table("stock_adjustments", {
    id: text("id").primaryKey(),
    sku: text("sku").notNull(),
    delta: units("delta"),
    onHand: units("on_hand"),
    shortage: units("shortage"),
    adjustedAt: timestamp("adjusted_at", AT).notNull(),
    kind: text("kind", { enum: ["receive", "return"] }),
    warehouse: text("warehouse"),
    revoked: jsonb("revoked").$type<ReadonlyArray<OrderId>>(),
  }),
  stockBuyers: table("stock_buyers", { sku: text("sku").notNull(), buyer: text("buyer").notNull(), units: units("units") }, (columns) => [
    primaryKey({ columns: [columns.sku, columns.buyer] }),
  ]),
  stockShards: table("stock_shards", {
    shard: integer("shard").primaryKey(),
    generation: bigint("generation", { mode: "number" }).notNull(),
    engine: text("engine", { enum: ["log", "ledger"] }).notNull(),
    runId: text("run_id"),
    masterReplid: text("master_replid"),
    changedAt: timestamp("changed_at", AT).notNull().defaultNow(),
  }),
  stockNotes: table("stock_notes", {
    id: bigint("id", { mode: "number" }).generatedAlwaysAsIdentity().primaryKey(),
    shard: integer("shard").notNull(),
    generation: bigint("generation", { mode: "number" }).notNull(),
    commands: jsonb("commands").$type<ReadonlyArray<StockJournal.Told>>().notNull(),
    notedAt: timestamp("noted_at", AT)
      .notNull()
      .default(sql`clock_timestamp()`),
  }),
});
