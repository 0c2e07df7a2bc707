/** A service whose role owns nothing: the rights that docs/migrations.md names are enough for it. */
import { readFile } from "node:fs/promises";
import { Outbox, UnitOfWork } from "@org/saga-core";
import { realServer } from "@tools/servers/testing";
import { Effect, Layer, ManagedRuntime } from "effect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import * as PgClient from "../src/PgClient.ts";
import * as PgMigrations from "../src/PgMigrations.ts";
import * as PgStores from "../src/PgStores.ts";
import * as Database from "./Database.ts";
import { message } from "./Samples.ts";

const server = realServer("postgres");
const PAGE = new URL("../../../docs/migrations.md", import.meta.url);
const SCHEMA = "order";
const HALF_DAY_MS = 12 * 60 * 60 * 1_000;

describe.runIf(server !== null)("a role that owns nothing", () => {
  let database: Database.Database;
  let role: string;
  let url: string;
  let grants: ReadonlyArray<string>;

  beforeAll(async () => {
    database = await Database.create(server ?? "");
    // Roles belong to the server, not to the database: the name is this run's.
    role = `service_${new URL(database.url).pathname.slice(1)}`;
    await Database.administer(database.url, `create role ${role} login password '${role}'`);
    const limited = new URL(database.url);
    limited.username = role;
    limited.password = role;
    url = limited.href;
    const [, section = ""] = (await readFile(PAGE, "utf8")).split("## Rights");
    const sql = /```sql\n([^`]*)```/.exec(section)?.[1] ?? "";
    grants = sql
      .replaceAll("to service", `to ${role}`)
      .split("\n")
      .filter((line) => line.endsWith(";"));
    await Effect.runPromise(Effect.provide(PgMigrations.up(), PgClient.layer({ url: database.url, schema: SCHEMA })));
  });
  afterAll(async () => {
    await Database.administer(database.url, `drop owned by ${role} cascade`);
    await Database.administer(database.url, `drop role ${role}`);
    await database.drop();
  });

  const appending = Effect.flatMap(UnitOfWork, (unit) =>
    unit.commit(Effect.flatMap(Outbox, (outbox) => outbox.append([message("k", {})]))),
  );

  it("is told what is missing, and starts, appends and sweeps with what docs/migrations.md grants", async () => {
    const client = ManagedRuntime.make(PgStores.layerClient.pipe(Layer.provide(PgClient.layer({ url, schema: SCHEMA }))));
    const missing = { reason: "Unavailable", message: expect.stringMatching(/42501.*docs\/migrations\.md/) };
    expect(await client.runPromise(Effect.flip(appending))).toMatchObject(missing);
    await client.dispose();

    expect(grants).toHaveLength(5);
    for (const grant of grants) await Database.administer(database.url, grant);
    const service = ManagedRuntime.make(PgStores.layer({ url, schema: SCHEMA }));
    await service.runPromise(appending);
    const old = `insert into "${SCHEMA}".outbox (slot, id, shard, aggregatetype, aggregateid, type, topic, payload, occurred_at, correlation_id, sent_at)
      select slot, gen_random_uuid(), 0, 'a', 'k', 't', 't', '{}', now(), 'c', now() from generate_series(0, 7) as s(slot)`;
    await Database.administer(database.url, old);
    // Every half day but the one of now is past such a retention.
    const swept = await service.runPromise(Effect.flatMap(Outbox, (outbox) => outbox.sweep(Date.now() - HALF_DAY_MS)));
    expect(swept).toBeGreaterThanOrEqual(6);

    await Database.administer(database.url, `create table "${SCHEMA}".later (id bigserial, text text)`);
    const later = Effect.flatMap(PgClient.PgClient, (one) => one.query("Test.later", `insert into ${one.tables}later (text) values ('x')`));
    expect((await service.runPromise(later)).count).toBe(1);
    await service.dispose();
  });

  it("cannot migrate what is pending, and says so", async () => {
    await Database.administer(database.url, `delete from "${SCHEMA}".saga_migrations where name = '0012_inbox_admit'`);
    const up = Effect.provide(PgMigrations.up(), PgClient.layer({ url, schema: SCHEMA }));
    const error = await Effect.runPromise(Effect.flip(up));
    expect(error).toMatchObject({
      _tag: "PgMigrationError",
      problem: "Failed",
      message: expect.stringMatching(/0012_inbox_admit.*permission denied/),
    });
  });
});
