/**
 * A batch of reserves as one statement, its own transaction: all of them are granted, or nothing happened.
 *
 * That is what the ledger would answer, because a batch is tried only if every command is an ordinary, valid reserve, and the
 * statement fails unless each order is new, each SKU known, and enough of it there for the whole batch in the default
 * warehouse. Whatever else may be the case is for `PgStockLocked` to decide.
 *
 * A SKU that fell short would fail every batch that names it: it is remembered, and its batches are not tried, until
 * one has got all it asked for.
 */
import { type OrderId, type Sku, type StockCommand, StockLedger, type StockLine, type StoreError } from "@org/saga-core";
import { Effect, Result } from "effect";
import * as PgClient from "./PgClient.ts";
import { EXECUTE } from "./PgStockLocked.ts";
import type { statements } from "./PgStockSql.ts";
import * as PgText from "./PgText.ts";
import * as PgTransaction from "./PgTransaction.ts";

/** A batch that may be granted at once. */
export interface Batch {
  /** Units of each SKU. */
  readonly units: ReadonlyMap<Sku, number>;
  readonly orders: ReadonlyArray<Order>;
}

interface Order {
  readonly orderId: OrderId;
  readonly lines: ReadonlyArray<StockLine>;
  readonly ttlMillis: number;
}

/** SKUs remembered as short; beyond, all are forgotten, which costs each of them a failed statement. */
const SHORT_MAX = 10_000;

export const make = (client: PgClient.PgClient["Service"], sql: ReturnType<typeof statements>) => {
  const short = new Set<Sku>();
  return {
    /** Whether a call may become a part of a batch that is granted at once. The others are kept out of its way. */
    kindOf: (commands: ReadonlyArray<StockCommand>): "AtOnce" | "Locked" =>
      commands.every((command) => command._tag === "Reserve" && !command.lines.some(({ sku }) => short.has(sku))) ? "AtOnce" : "Locked",

    /** Null: a batch to be decided under locks. */
    batchOf: (commands: ReadonlyArray<StockCommand>): Batch | null => batchOf(short, commands),

    run: (batch: Batch): Effect.Effect<ReadonlyArray<StockLedger.Answer>, StoreError> => {
      const { orders, units } = batch;
      const skus = [...units.keys()].toSorted();
      const values = [
        skus,
        skus.map((sku) => units.get(sku) ?? 0),
        orders.map((order) => order.orderId),
        PgText.listOf(orders.map((order) => JSON.stringify(order.lines))),
        orders.map((order) => order.ttlMillis),
      ];
      const asked = PgClient.attempt(EXECUTE, () => client.driver.queryInLine<{ readonly at: number }>(sql.reserve, values));
      return Effect.flatMap(asked, ({ rows: [row] }) =>
        row === undefined
          ? Effect.fail(PgTransaction.failure("Refused", EXECUTE, "a batch without a date"))
          : Effect.succeed(orders.map((order) => granted(order, row.at))),
      );
    },

    /** Which SKUs fell short of what was asked for. Returns the answers. */
    learn: (commands: ReadonlyArray<StockCommand>, answers: ReadonlyArray<StockLedger.Answer>): ReadonlyArray<StockLedger.Answer> => {
      if (short.size > SHORT_MAX) short.clear();
      if (short.size > 0)
        for (const command of commands) if (command._tag === "Reserve") for (const { sku } of command.lines) short.delete(sku);
      for (const answer of answers) {
        if (Result.isFailure(answer) && answer.failure._tag === "OutOfStock") for (const sku of answer.failure.skus) short.add(sku);
      }
      return answers;
    },
  };
};

/** Not this way: the statement said no, or lost a race. Nothing happened. */
export const isRefused = (error: StoreError): boolean => error.reason === "Refused" || error.reason === "Contention";

const batchOf = (short: ReadonlySet<Sku>, commands: ReadonlyArray<StockCommand>): Batch | null => {
  const units = new Map<Sku, number>();
  const orders: Array<Order> = [];
  for (const command of commands) {
    if (command._tag !== "Reserve") return null;
    const lines = StockLedger.ordinaryLines(command);
    if (lines === null) return null;
    for (const { sku, quantity } of lines) {
      if (short.has(sku)) return null;
      units.set(sku, (units.get(sku) ?? 0) + quantity);
    }
    orders.push({ orderId: command.orderId, lines, ttlMillis: command.ttlMillis });
  }
  return { units, orders };
};

const granted = ({ orderId, lines, ttlMillis }: Order, at: number): StockLedger.Answer =>
  Result.succeed({ _tag: "Reserved", orderId, lines, until: at + ttlMillis });
