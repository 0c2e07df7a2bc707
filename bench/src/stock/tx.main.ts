/** The usual way on PostgreSQL: a transaction a request, which locks the rows of its SKUs, looks, and writes. */
import pg from "pg";
import type { StockCommand } from "@org/saga-core";
import type { Engine } from "./Engine.ts";
import { serve } from "./ServeStock.ts";

/** As the requests of the other benches. */
const CONNECTIONS = 16;

const SCHEMA = "stock_tx";

/** Goods are counted in before it is measured: that need not be durable. */
const seeds = new pg.Pool({ connectionString: process.env["BENCH_PG_URL"] ?? "", max: 1, options: "-c synchronous_commit=off" });

const pool = new pg.Pool({ connectionString: process.env["BENCH_PG_URL"] ?? "", max: CONNECTIONS });
await pool.query(`
create schema if not exists ${SCHEMA};
create table ${SCHEMA}.skus (sku text primary key, on_hand bigint not null, held bigint not null, check (held <= on_hand));
create table ${SCHEMA}.holds (order_id text primary key, lines jsonb not null, until timestamptz not null);
create index on ${SCHEMA}.holds (until);`);

type Reserve = Extract<StockCommand, { readonly _tag: "Reserve" }>;

const reserve = async (command: Reserve): Promise<string> => {
  const client = await pool.connect();
  try {
    await client.query("begin");
    const lines = command.lines.toSorted((left, right) => (left.sku < right.sku ? -1 : 1));
    const inserted = await client.query({
      name: "hold",
      text: `insert into ${SCHEMA}.holds (order_id, lines, until) values ($1, $2, now() + $3 * interval '1 millisecond') on conflict do nothing`,
      values: [command.orderId, JSON.stringify(lines), command.ttlMillis],
    });
    const skus = lines.map(({ sku }) => sku);
    const units = lines.map(({ quantity }) => quantity);
    const { rows } = await client.query<{ readonly free: string }>({
      name: "lock",
      text: `select on_hand - held as free from ${SCHEMA}.skus where sku = any($1::text[]) order by sku for update`,
      values: [skus],
    });
    const enough = rows.length === lines.length && rows.every(({ free }, index) => Number(free) >= (units[index] ?? Number.NaN));
    if (inserted.rowCount !== 1 || !enough) {
      await client.query("rollback");
      return inserted.rowCount === 1 ? "OutOfStock" : "Reserved";
    }
    await client.query({
      name: "take",
      text: `update ${SCHEMA}.skus as s set held = held + line.units from unnest($1::text[], $2::bigint[]) as line(sku, units) where s.sku = line.sku`,
      values: [skus, units],
    });
    await client.query("commit");
    return "Reserved";
  } finally {
    client.release();
  }
};

const ask = async (command: StockCommand): Promise<string> => {
  if (command._tag === "Reserve") return reserve(command);
  if (command._tag !== "Adjust") throw new Error(`${command._tag} is not measured`);
  await seeds.query(`insert into ${SCHEMA}.skus values ($1, $2, 0)`, [command.sku, command.delta]);
  return "Adjusted";
};

const engine: Engine = {
  run: async (lanes) => {
    const lane = async ({ next, seen }: (typeof lanes)[number]): Promise<void> => {
      for (let command = next(); command !== undefined; command = next()) seen(command, await ask(command));
    };
    await Promise.all(lanes.map(lane));
  },
  books: async () => {
    const { rows } = await pool.query<{ readonly on_hand: string; readonly held: string }>(`select on_hand, held from ${SCHEMA}.skus`);
    return rows.map((row) => ({
      onHand: Number(row.on_hand),
      held: Number(row.held),
      committed: 0,
      available: Number(row.on_hand) - Number(row.held),
    }));
  },
  close: async () => void (await pool.query(`truncate ${SCHEMA}.skus, ${SCHEMA}.holds`)),
};

serve(async () => engine);
