/** On a real server, and what only a pool of connections can show. */
import { UnitOfWork } from "@org/saga-core";
import { PgClient, PgStores } from "@org/saga-postgres";
import { realServer } from "@tools/servers/testing";
import { Effect, ManagedRuntime } from "effect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import * as Database from "./Database.ts";
import * as OwnTables from "./OwnTables.ts";

const server = realServer("postgres");

describe.runIf(server !== null)("own tables on a server", () => {
  let database: Database.Database;
  let runtime: ManagedRuntime.ManagedRuntime<OwnTables.Ports, unknown>;

  beforeAll(async () => {
    database = await Database.create(server ?? "");
    const options = { url: database.url, schema: OwnTables.SCHEMA, migrations: [OwnTables.MIGRATIONS] };
    runtime = ManagedRuntime.make(PgStores.layer({ ...options, poolSize: 3 }));
    await runtime.context();
    await Database.administer(database.url, OwnTables.THIRTEEN);
  });
  afterAll(async () => {
    await runtime.dispose();
    await database.drop();
  });

  OwnTables.run("Pool", (example) => runtime.runPromise(Effect.scoped(example)));

  it("a handle that was kept does not reach the next transaction on its connection, and cannot give it back", async () => {
    const stolen = Effect.gen(function* () {
      const client = yield* PgClient.PgClient;
      const unit = yield* UnitOfWork;
      const native = yield* unit.commit(client.native);
      if (native._tag !== "Pool") return yield* Effect.die("a pool");
      const method = yield* unit.commit(Effect.map(client.native, (open) => (open._tag === "Pool" ? open.client.query : null)));
      const late = client.use("Test.next", async (next) => {
        expect(next._tag).toBe("Pool");
        expect(() => native.client).not.toThrow();
        await expect((async () => native.client.query("insert into bank.postings values ('late', 1, 1)"))()).rejects.toThrow(/has ended/);
        expect(() => method?.("insert into bank.postings values ('later', 1, 1)")).toThrow(/has ended/);
        if (next._tag === "Pool") expect(() => next.client.release()).toThrow(/released with it/);
      });
      yield* unit.commit(late);
    });
    await runtime.runPromise(stolen);
  });
});
