/** Table prefixes: several services, or a service and strangers, in one schema. The contracts are in `contracts.test.ts`. */
import { readFile } from "node:fs/promises";
import { CustomerId, DocumentStore, Money, Order, OrderId, OrderStore, Quantity, Sku, UnitOfWork } from "@org/saga-core";
import { StockReservationContract } from "@org/saga-core/testing";
import { drizzle } from "drizzle-orm/pglite";
import { Effect, Layer, ManagedRuntime, Result } from "effect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import * as PgClient from "../src/PgClient.ts";
import * as PgMigrations from "../src/PgMigrations.ts";
import * as PgStock from "../src/PgStock.ts";
import * as PgStores from "../src/PgStores.ts";
import { tables } from "../src/schema/tables.ts";
import * as Catalog from "./Catalog.ts";
import * as Embedded from "./Embedded.ts";
import { document } from "./Samples.ts";

const PREFIX_MAX = 20;

/** Milliseconds that a case of random commands may take on a busy machine. */
const SLOW_MS = 60_000;
const SCHEMA = "shared";
const LEFT = "left_";
const RIGHT = "right_";

const embedded = await Embedded.start();
const { instance } = embedded;
const runtimeOf = (prefix: string) =>
  ManagedRuntime.make(PgStock.layer.pipe(Layer.provideMerge(PgStores.layerPglite(instance, SCHEMA, prefix))));
const left = runtimeOf(LEFT);
const right = runtimeOf(RIGHT);

beforeAll(async () => {
  await Promise.all([left.context(), right.context()]);
});

afterAll(async () => {
  await Promise.all([left.dispose(), right.dispose()]);
  await embedded.close();
});

describe("with a prefix", () => {
  describe("PgStock keeps its contract: it", () => {
    for (const { name, run } of StockReservationContract.cases) it(name, { timeout: SLOW_MS }, () => left.runPromise(run));
  });

  it("the schema is the golden one, but for the prefix", async () => {
    const schema = "prefixed";
    // As long as it may be: a name that is too long would be cut, and no longer be the golden one.
    const prefix = "as_long_as_it_may_be";
    expect(prefix.length).toBe(PREFIX_MAX);
    await Effect.runPromise(Effect.provide(PgMigrations.up(), PgClient.layerPglite(instance, schema, prefix)));
    const { rows } = await instance.query<{ readonly line: string }>(Catalog.DESCRIBE, [schema]);
    const lines = rows.map((row) => row.line.replaceAll(prefix, "")).filter((line) => !line.startsWith("saga_migrations"));
    const golden = await readFile(new URL("golden/schema.txt", import.meta.url), "utf8");
    const names = await instance.query<{ readonly name: string }>(
      "select relname as name from pg_class where relnamespace = $1::regnamespace",
      [schema],
    );
    expect(names.rows.filter(({ name }) => !name.startsWith(prefix))).toEqual([]);
    // The order of lines is that of names, and only some of them have the prefix.
    expect(lines.toSorted()).toEqual(golden.trimEnd().split("\n").toSorted());
  });

  it("migrations go down to nothing, and leave the neighbours alone", async () => {
    const prefix = "gone_";
    const client = PgClient.layerPglite(instance, SCHEMA, prefix);
    const names = await Effect.runPromise(Effect.provide(PgMigrations.up(), client));
    expect(await Effect.runPromise(Effect.provide(PgMigrations.down(names.length), client))).toEqual(names.toReversed());
    const { rows } = await instance.query<{ readonly name: string }>(
      "select relname as name from pg_class where relnamespace = $1::regnamespace and relkind = 'r'",
      [SCHEMA],
    );
    const own = rows.map(({ name }) => name);
    expect(own.filter((name) => name.startsWith(prefix))).toEqual([`${prefix}saga_migrations`]);
    expect(own).toContain(`${LEFT}orders`);
  });
});

const order = (id: string): Order.Order => {
  const placed = Order.decide(null, {
    _tag: "Place",
    id: OrderId.make(id),
    customerId: CustomerId.make("customer-1"),
    lines: [{ sku: Sku.make("cup"), name: "Cup", quantity: Quantity.make(1), unitPrice: Money.of(1_200, "EUR") }],
    paymentMethod: "pm_1",
    cancelPolicy: "createdOnly",
    now: 1_767_225_600_000,
  });
  const [event] = Result.getOrThrow(placed);
  const state = event === undefined ? null : Order.evolve(null, event);
  if (state === null) throw new Error("not placed");
  return state;
};

const commit = <A, E, R>(body: Effect.Effect<A, E, R>) => Effect.flatMap(UnitOfWork, (unit) => unit.commit(body));
const insert = (id: string) => commit(Effect.flatMap(OrderStore, (store) => store.save([{ before: null, after: order(id) }])));

describe("two prefixes in one schema", () => {
  it("do not see each other", async () => {
    const save = commit(Effect.flatMap(DocumentStore, (store) => store.save([document("same-id", 1, "of the left")])));
    const find = Effect.flatMap(DocumentStore, (store) => Effect.map(store.find("note", ["same-id"]), (found) => found.size));
    await left.runPromise(save);
    expect([await left.runPromise(find), await right.runPromise(find)]).toEqual([1, 0]);
    await right.runPromise(insert("same-order"));
    expect((await left.runPromise(Effect.flatMap(OrderStore, (store) => store.find([OrderId.make("same-order")])))).size).toBe(0);
  });

  it("know a lost race on a key of their own, and take a stranger's unique rule for what it is", async () => {
    await left.runPromise(insert("twice"));
    expect(await left.runPromise(Effect.flip(insert("twice")))).toMatchObject({ reason: "Contention" });
    // The stranger's table has the name that a table of this package has without a prefix, and with another one.
    await instance.exec(
      `create table ${SCHEMA}.orders (id text primary key); create table ${SCHEMA}.customer_orders (id text primary key)`,
    );
    for (const table of ["orders", "customer_orders"]) {
      const text = `insert into ${SCHEMA}.${table} values ('one')`;
      const twice = Effect.flatMap(PgClient.PgClient, (client) =>
        Effect.andThen(client.query("Test.sql", text), client.query("Test.sql", text)),
      );
      expect(await left.runPromise(Effect.flip(twice))).toMatchObject({ reason: "Refused" });
    }
  });

  it("are what drizzle reads with the prefix", async () => {
    await left.runPromise(insert("by-drizzle"));
    const database = drizzle(instance);
    const idsIn = async (prefix: string) => {
      const { orders } = tables(SCHEMA, prefix);
      return (await database.select({ id: orders.id }).from(orders)).map(({ id }) => id);
    };
    expect(await idsIn(LEFT)).toContain("by-drizzle");
    expect(await idsIn(RIGHT)).not.toContain("by-drizzle");
  });
});
