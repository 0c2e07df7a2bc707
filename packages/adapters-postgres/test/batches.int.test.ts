/** Statements over many rows, in tables that were filled faster than they were analysed: each row is found once, by one list. */
import { DocumentStore, IdempotencyKeys, OrderId, OrderStore, Timers, UnitOfWork } from "@org/saga-core";
import { realServer } from "@tools/servers/testing";
import { Effect, Layer, ManagedRuntime } from "effect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import * as PgClient from "../src/PgClient.ts";
import type { PgValue } from "../src/PgDriver.ts";
import * as PgMigrations from "../src/PgMigrations.ts";
import * as PgStores from "../src/PgStores.ts";
import * as Database from "./Database.ts";
import { document } from "./Samples.ts";

const server = realServer("postgres");

const ROWS = 50_000;
const SOME = [1, 2, 3];

const FILLED = `
${["documents", "timers", "idempotency_keys", "orders"].map((table) => `alter table batches.${table} set (autovacuum_enabled = off);`).join("\n")}
insert into batches.documents (kind, id, revision, state) select 'note', 'id-' || n, 1, '{}' from generate_series(1, ${ROWS}) n;
insert into batches.timers (owner, key, name, token, due_at, claimable_at)
  select 'o', 'id-' || n, 'timeout', 't', now(), now() from generate_series(1, ${ROWS}) n;
insert into batches.idempotency_keys (scope, key, fingerprint, answer) select 's', 'id-' || n, 'f', '{}' from generate_series(1, ${ROWS}) n;
insert into batches.orders (id, customer_id, status, total_amount, currency, payment_method, cancel_policy, cancel_requested, paid, version, created_at,
    updated_at)
  select 'id-' || n, 'c', 'created', 1, 'EUR', 'pm', 'createdOnly', false, false, 1, now(), now() from generate_series(1, ${ROWS}) n`;

interface Explained {
  readonly "QUERY PLAN": string;
}

/** The plan of each statement, as it is made once for batches of any size. */
const explaining = (plans: Array<string>) =>
  Layer.effect(
    PgClient.PgClient,
    Effect.map(PgClient.PgClient, (client): PgClient.PgClient["Service"] => ({
      ...client,
      within: <Row extends object>(operation: string, text: string, values: ReadonlyArray<PgValue> = []) =>
        Effect.gen(function* () {
          yield* client.within(operation, "set local plan_cache_mode = force_generic_plan", []);
          const { rows } = yield* client.within<Explained>(operation, `explain ${text}`, values);
          plans.push(rows.map((row) => row["QUERY PLAN"]).join("\n"));
          return yield* client.within<Row>(operation, text, values);
        }),
    })),
  );

/** By a list and by a row of the batch at once: a look through the list for each row. */
const TWICE = /Index Cond: .*= \(?\w+\.\w+\)?.*= ANY|Index Cond: .*= ANY.*= \(?\w+\.\w+\)?/;

describe.runIf(server !== null)("a batch among many rows", () => {
  const plans: Array<string> = [];
  let database: Database.Database;
  let runtime: ManagedRuntime.ManagedRuntime<PgStores.PgStores, unknown>;

  beforeAll(async () => {
    database = await Database.create(server ?? "");
    const client = PgClient.layer({ url: database.url, schema: "batches" });
    await Effect.runPromise(Effect.provide(PgMigrations.up(), client));
    await Database.administer(database.url, FILLED);
    runtime = ManagedRuntime.make(PgStores.layerClient.pipe(Layer.provide(explaining(plans)), Layer.provide(client)));
  });
  afterAll(async () => {
    await runtime.dispose();
    await database.drop();
  });

  const writing = <A, E, R>(body: Effect.Effect<A, E, R>) => Effect.flatMap(UnitOfWork, (unit) => unit.commit(body));

  it.each([
    ["documents", writing(Effect.flatMap(DocumentStore, (store) => store.save(SOME.map((n) => document(`id-${n}`, 2, { n })))))],
    [
      "orders",
      writing(
        Effect.gen(function* () {
          const store = yield* OrderStore;
          const ids = SOME.map((n) => OrderId.make(`id-${n}`));
          const found = yield* store.load(ids);
          yield* store.save([...found.values()].map((before) => ({ before, after: { ...before, version: before.version + 1 } })));
        }),
      ),
    ],
    [
      "timers",
      writing(
        Effect.gen(function* () {
          const timers = yield* Timers;
          const some = SOME.map((n) => ({ owner: "o", key: `id-${n}`, name: "timeout", token: "t", dueAt: 1 }));
          expect(yield* timers.reschedule(some)).toEqual(SOME.map(() => "Rescheduled"));
          yield* timers.complete(some);
          yield* timers.cancel(some);
        }),
      ),
    ],
    [
      "idempotency keys",
      writing(Effect.flatMap(IdempotencyKeys, (keys) => keys.claim(SOME.map((n) => ({ scope: "s", key: `id-${n}`, fingerprint: "f" }))))),
    ],
  ])("of %s is found by the list of its keys alone", async (_, batch) => {
    plans.length = 0;
    await runtime.runPromise(batch);
    const lists = plans.filter((plan) => plan.includes("= ANY"));
    expect(lists.length).toBeGreaterThan(0);
    for (const plan of lists) expect(plan).not.toMatch(TWICE);
  });
});
