/** Wake-ups across processes: NOTIFY after commits, debounced, on connections of their own that come back. */
import { Outbox, UnitOfWork } from "@org/saga-core";
import { realServer } from "@tools/servers/testing";
import { Duration, Effect, Layer, ManagedRuntime } from "effect";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import * as PgClient from "../src/PgClient.ts";
import * as PgConfig from "../src/PgConfig.ts";
import * as PgOutbox from "../src/PgOutbox.ts";
import * as PgStores from "../src/PgStores.ts";
import * as PoolDriver from "../src/PoolDriver.ts";
import * as Database from "./Database.ts";
import { message } from "./Samples.ts";

const server = realServer("postgres");
const COMMITS = 200;
const PATIENCE = { timeout: 20_000, interval: 20 };

describe.runIf(server !== null)("a wake-up across processes", () => {
  let database: Database.Database;
  let writer: ManagedRuntime.ManagedRuntime<PgStores.PgStores | PgClient.PgClient, unknown>;
  let listener: PoolDriver.PoolDriver;

  beforeAll(async () => {
    database = await Database.create(server ?? "");
    writer = ManagedRuntime.make(PgStores.layer({ url: database.url, schema: "wakeup", applicationName: "writer" }));
    await writer.context();
    listener = PoolDriver.make(PgConfig.make({ url: database.url, applicationName: "listener" }));
  });
  afterAll(async () => {
    await writer.dispose();
    await listener.close();
    await database.drop();
  });

  const append = Effect.flatMap(UnitOfWork, (unit) => unit.commit(Effect.flatMap(Outbox, (outbox) => outbox.append([message("key", 1)]))));

  const listening = async () => {
    const heard = { times: 0 };
    const stop = listener.listen(PgOutbox.channel('"wakeup".'), () => {
      heard.times += 1;
    });
    // A notification of the test before may still come.
    await vi.waitFor(() => expect(heard.times).toBeGreaterThan(0), PATIENCE);
    return { heard, stop };
  };

  it("follows a commit that appended, and no other one", async () => {
    const { heard, stop } = await listening();
    await writer.runPromise(Effect.flatMap(UnitOfWork, (unit) => unit.commit(Effect.void)));
    await writer.runPromise(append);
    await vi.waitFor(() => expect(heard.times).toBe(2), PATIENCE);
    await stop();
  });

  it("is one for many commits", async () => {
    const { heard, stop } = await listening();
    await writer.runPromise(Effect.replicateEffect(append, COMMITS, { concurrency: 8 }));
    await vi.waitFor(() => expect(heard.times).toBeGreaterThan(1), PATIENCE);
    expect(heard.times).toBeLessThan(COMMITS);
    await stop();
  });

  it("is heard again after the connection was lost", async () => {
    const { heard, stop } = await listening();
    const before = heard.times;
    await Database.administer(
      database.url,
      "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'listener' and query like 'listen%'",
    );
    // It says so itself when it is back: something may have been missed.
    await vi.waitFor(() => expect(heard.times).toBeGreaterThan(before), PATIENCE);
    const again = heard.times;
    await writer.runPromise(append);
    await vi.waitFor(() => expect(heard.times).toBeGreaterThan(again), PATIENCE);
    await stop();
  });

  it("never fails a commit: where nobody can be told, the poll finds it", async () => {
    const pool = PoolDriver.make(PgConfig.make({ url: database.url }));
    const mute = { ...pool, notify: () => Promise.reject(new Error("no server")) };
    const client = Layer.effect(PgClient.PgClient, PgClient.make(mute, "wakeup"));
    const runtime = ManagedRuntime.make(PgStores.layerClient.pipe(Layer.provide(client)));
    await runtime.runPromise(append);
    await writer.runPromise(Effect.flatMap(Outbox, (outbox) => outbox.awaitPending(Duration.seconds(20))));
    const pending = Effect.flatMap(Outbox, (outbox) => outbox.pendingShards);
    expect(await writer.runPromise(pending)).not.toEqual([]);
    await runtime.dispose();
    await pool.close();
  });

  it("the connection is closed with its scope", async () => {
    const { stop } = await listening();
    await stop();
    await vi.waitFor(async () => {
      const { rows } = await listener.query<{ readonly open: number }>(
        "select count(*)::int as open from pg_stat_activity where application_name = 'listener' and query like 'listen%'",
        [],
      );
      expect(rows).toEqual([{ open: 0 }]);
    }, PATIENCE);
  });

  it("has a channel of at most 63 bytes, however long the names are, and another one for each outbox", () => {
    expect(PgOutbox.channel(`"${"s".repeat(63)}".${"p".repeat(20)}`).length).toBeLessThan(64);
    expect(PgOutbox.channel('"a".')).not.toBe(PgOutbox.channel('"b".'));
  });
});
