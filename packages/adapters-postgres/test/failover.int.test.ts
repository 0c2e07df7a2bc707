/**
 * A primary that dies under load, for good: its synchronous standby is promoted, and the address leads there from now on. What
 * callers were told is there, and the service goes on by itself.
 */
import { type PostgresServer, startPostgres, startTcpProxy, type TcpProxy } from "@tools/servers";
import { realServer } from "@tools/servers/testing";
import { Effect, ManagedRuntime } from "effect";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import * as Audit from "./Audit.ts";
import * as Load from "./Load.ts";

const TEST_TIMEOUT_MS = 180_000;
const ANSWERS = 300;

describe.runIf(realServer("postgres") !== null)("a primary that dies under load", { timeout: TEST_TIMEOUT_MS }, () => {
  let primary: PostgresServer;
  let standby: PostgresServer;
  let proxy: TcpProxy;
  const target = { host: "127.0.0.1", port: 0 };

  const one = async <A>(port: number, text: string): Promise<A | undefined> => {
    const client = new pg.Client({ connectionString: `postgres://postgres@127.0.0.1:${port}/postgres` });
    client.on("error", () => undefined);
    await client.connect();
    try {
      return (await client.query<{ readonly value: A }>(text)).rows[0]?.value;
    } finally {
      await client.end();
    }
  };
  const until = async (isTrue: () => Promise<boolean>) => {
    while (!(await isTrue().catch(() => false))) await new Promise((resolve) => setTimeout(resolve, 50));
  };

  beforeAll(async () => {
    primary = await startPostgres({ settings: { wal_level: "replica", max_wal_senders: "5" } });
    standby = await startPostgres({ standbyOf: { server: primary, name: "second" } });
    await one(primary.port, "alter system set synchronous_standby_names = 'second'");
    await one(primary.port, "select pg_reload_conf()::text as value");
    await until(async () => (await one<string>(primary.port, "select sync_state as value from pg_stat_replication")) === "sync");
    target.port = primary.port;
    proxy = await startTcpProxy({ target });
  });
  afterAll(async () => {
    await proxy.stop();
    await standby.stop();
    await primary.stop();
  });

  it("loses nothing that was acknowledged, and the service goes on at the standby", async () => {
    const load = new Load.Load();
    const url = `postgres://postgres@127.0.0.1:${proxy.port}/postgres`;
    const runtime = ManagedRuntime.make(Load.ports({ url, schema: "failover" }));
    const failOver = Effect.promise(async () => {
      await primary.kill("SIGKILL");
      await one(standby.port, "select pg_promote()::text as value");
      await one(standby.port, "alter system reset synchronous_standby_names");
      await one(standby.port, "select pg_reload_conf()::text as value");
      target.port = standby.port;
      proxy.reset();
    });
    try {
      await runtime.runPromise(
        Load.run(
          load,
          Effect.gen(function* () {
            yield* Load.answered(load, ANSWERS);
            yield* failOver;
            yield* Load.answered(load, ANSWERS);
          }),
        ),
      );
      expect(await runtime.runPromise(Audit.violations(load))).toEqual([]);
      expect(load.tallies.accepted.size).toBeGreaterThan(ANSWERS);
    } finally {
      await runtime.dispose();
    }
  });
});
