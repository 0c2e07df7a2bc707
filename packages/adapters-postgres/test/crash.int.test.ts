/** A server of this file's own, for it is crashed: a backend that is killed takes all others with it. */
import { DocumentStore, UnitOfWork } from "@org/saga-core";
import { type PostgresServer, startPostgres } from "@tools/servers";
import { realServer } from "@tools/servers/testing";
import { Effect, ManagedRuntime } from "effect";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import * as PgClient from "../src/PgClient.ts";
import * as PgStores from "../src/PgStores.ts";
import { document } from "./Samples.ts";

const RECOVERY_TRIES_MAX = 200;

describe.runIf(realServer("postgres") !== null)("a server that recovers from a crash", () => {
  let server: PostgresServer;
  beforeAll(async () => {
    // What is not committed stays in memory for longer than the test takes.
    server = await startPostgres({ settings: { wal_writer_delay: "10s" } });
  });
  afterAll(() => server.stop());

  /** One connection, once the server accepts again. */
  const query = async <Row extends pg.QueryResultRow>(text: string): Promise<Row> => {
    for (let tries = 1; ; tries += 1) {
      const client = new pg.Client({ connectionString: server.url });
      client.on("error", () => undefined);
      try {
        await client.connect();
        const { rows } = await client.query<Row>(text);
        await client.end();
        const [row] = rows;
        if (row === undefined) throw new Error("no row");
        return row;
      } catch (cause) {
        if (tries >= RECOVERY_TRIES_MAX) throw cause;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
  };

  it("gives ids of lost transactions out again: a commit whose answer is missing is Unknown, not what another one became", async () => {
    const runtime = ManagedRuntime.make(PgStores.layer({ url: server.url, schema: "crash", settleTimeout: "2 seconds" }));
    await runtime.context();
    let xid = 0n;
    const crashed = Effect.gen(function* () {
      const client = yield* PgClient.PgClient;
      yield* (yield* DocumentStore).save([document("lost", 1, {})]);
      const { rows } = yield* client.within<{ readonly pid: number; readonly xid: string }>(
        "Test.sql",
        "select pg_backend_pid() as pid, pg_current_xact_id()::text as xid",
      );
      xid = BigInt(rows[0]?.xid ?? 0);
      process.kill(rows[0]?.pid ?? 0, "SIGKILL");
      // Others go on, and one of them gets our id, and commits.
      yield* Effect.promise(async () => {
        let last = 0n;
        while (last < xid) last = BigInt((await query<{ readonly xid: string }>("select pg_current_xact_id()::text as xid")).xid);
      });
    });
    const exit = await runtime.runPromise(Effect.exit(Effect.flatMap(UnitOfWork, (unit) => unit.commit(crashed))));
    const { status } = await query<{ readonly status: string }>(`select pg_xact_status('${xid}'::xid8) as status`);
    expect(status).toBe("committed");
    expect(JSON.stringify(exit)).toMatch(/"reason":"Unknown"/);
    const found = await runtime.runPromise(Effect.flatMap(DocumentStore, (store) => store.find("note", ["lost"])));
    expect(found.size).toBe(0);
    await runtime.dispose();
  });
});
