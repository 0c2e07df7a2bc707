/**
 * A server of this file's own, for it is crashed while it commits: one backend is killed, or all of it, or it comes back
 * with older data, as a standby would that never got the commit.
 */
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { Batch, DocumentStore, UnitOfWork } from "@org/saga-core";
import { type PostgresServer, startPostgres } from "@tools/servers";
import { realServer } from "@tools/servers/testing";
import { Effect, Exit, ManagedRuntime } from "effect";
import pg from "pg";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import * as PgClient from "../src/PgClient.ts";
import * as PgStores from "../src/PgStores.ts";
import * as CommitProxy from "./CommitProxy.ts";
import { document } from "./Samples.ts";

const run = promisify(execFile);

describe.runIf(realServer("postgres") !== null)("a server that crashes while it commits", () => {
  let folder: string;
  let server: PostgresServer;
  let proxy: CommitProxy.CommitProxy;
  let runtime: ManagedRuntime.ManagedRuntime<PgStores.PgStores | PgClient.PgClient, unknown>;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "saga-crash-"));
    await run("chmod", ["755", folder]);
    server = await startPostgres({ dataDir: join(folder, "data") });
  });
  beforeEach(async () => {
    proxy = await CommitProxy.start(server.url);
    runtime = ManagedRuntime.make(PgStores.layer({ url: proxy.url, schema: "crash", settleTimeout: "30 seconds" }));
    await runtime.context();
  });
  afterEach(async () => {
    await runtime.dispose();
    await proxy.stop();
  });
  afterAll(async () => {
    await server.stop();
    await rm(folder, { recursive: true });
  });

  const commit = <A, E, R>(body: Effect.Effect<A, E, R>) => Effect.flatMap(UnitOfWork, (unit) => unit.commit(body));
  const save = (id: string) => Effect.flatMap(DocumentStore, (store) => store.save([document(id, 1, {})]));
  const isStored = (id: string) =>
    runtime.runPromise(
      Effect.flatMap(DocumentStore, (store) => Effect.map(store.find("note", [id]), (found) => found.has(id))).pipe(
        Effect.retry({ while: (error) => error.isRetryable }),
      ),
    );

  /** Everything of it dies at once, nothing is written any more, and it recovers from its log. */
  const crash = async () => {
    await server.kill("SIGKILL");
    await server.restart();
  };

  const commitWhile = (id: string, loses: CommitProxy.Loss, meanwhile: () => Promise<void>) => {
    proxy.plan({ on: CommitProxy.COMMIT, loses, meanwhile });
    return runtime.runPromise(Effect.exit(commit(save(id))));
  };

  it("and had committed: a success, once it recovered", async () => {
    expect(Exit.isSuccess(await commitWhile("committed", "answer", crash))).toBe(true);
    expect(await isStored("committed")).toBe(true);
  });

  it("and had not committed: Unavailable, once it recovered, and it may be run again", async () => {
    const exit = await commitWhile("crashed", "request", crash);
    expect(JSON.stringify(exit)).toMatch(/Unavailable.*the commit did not happen/);
    expect(await isStored("crashed")).toBe(false);
    await runtime.runPromise(commit(save("crashed")));
    expect(await isStored("crashed")).toBe(true);
  });

  it("is asked while it is still down, until it is back", async () => {
    let back: Promise<void> = Promise.resolve();
    const exit = await commitWhile("down", "answer", async () => {
      await server.kill("SIGKILL");
      back = server.restart();
    });
    await back;
    expect(Exit.isSuccess(exit)).toBe(true);
    expect(await isStored("down")).toBe(true);
  });

  it("by one of its backends: all others go on, and what that one did is known", async () => {
    const killed = Effect.gen(function* () {
      const client = yield* PgClient.PgClient;
      yield* save("backend");
      const { rows } = yield* client.within<{ readonly pid: number }>("Test.pid", "select pg_backend_pid() as pid");
      process.kill(rows[0]?.pid ?? 0, "SIGKILL");
    });
    const exit = await runtime.runPromise(Effect.exit(commit(killed)));
    expect(JSON.stringify(exit)).toMatch(/Unavailable.*the commit did not happen/);
    expect(await isStored("backend")).toBe(false);
  });

  it("and comes back without what it had committed: it did not happen, and is run again to exactly one effect", async () => {
    const before = join(folder, "before");
    await runtime.runPromise(commit(save("kept")));
    await server.kill("SIGKILL");
    await run("cp", ["-a", server.dataDir, before]);
    await server.restart();
    const failOver = async () => {
      await server.kill("SIGKILL");
      await rm(server.dataDir, { recursive: true });
      await run("mv", [before, server.dataDir]);
      await server.restart();
    };
    proxy.plan({ on: CommitProxy.COMMIT, loses: "answer", meanwhile: failOver });
    let attempts = 0;
    const once = Batch.isolate("failover", (ids: ReadonlyArray<string>) =>
      commit(
        Effect.suspend(() => {
          attempts += 1;
          return Effect.as(Effect.forEach(ids, save), ids);
        }),
      ),
    );
    const exits = await runtime.runPromise(once(["moved"]));
    expect(proxy.lost()).toBe(1);
    expect(exits.every(Exit.isSuccess)).toBe(true);
    expect(attempts).toBe(2);
    expect([await isStored("moved"), await isStored("kept")]).toEqual([true, true]);
  });

  it("with a synchronous standby: a commit that only this server has is no success yet, for whoever asks either", async () => {
    const admin = new pg.Client({ connectionString: server.url });
    admin.on("error", () => undefined);
    await admin.connect();
    const waiting = async (query: string): Promise<number | undefined> => {
      const { rows } = await admin.query<{ pid: number }>(
        "select pid from pg_stat_activity where pid <> pg_backend_pid() and wait_event = 'SyncRep' and query ~ $1",
        [query],
      );
      return rows[0]?.pid;
    };
    const until = async <A>(found: () => Promise<A | undefined>): Promise<A> => {
      for (;;) {
        const value = await found();
        if (value !== undefined) return value;
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    };
    const standBehind = async (standby: string) => {
      await admin.query(`alter system set synchronous_standby_names = '${standby}'`);
      await admin.query("select pg_reload_conf()");
    };
    await standBehind("nobody");
    try {
      // The server takes a moment to know of its standby: the first that waits for it is the one.
      let saved = 0;
      let isAnswered = true;
      let answered = Promise.resolve<Exit.Exit<void, unknown>>(Exit.void);
      const pid = await until(() => {
        if (isAnswered) {
          isAnswered = false;
          saved += 1;
          answered = runtime.runPromise(Effect.exit(commit(save(`replicated-${saved}`)))).finally(() => (isAnswered = true));
        }
        return waiting("^commit");
      });
      // Its session ends while it waits: from now on everybody on this server can see its row.
      await admin.query("select pg_terminate_backend($1)", [pid]);
      await until(() => waiting("set fenced"));
      expect(await isStored(`replicated-${saved}`)).toBe(true);
      expect(isAnswered).toBe(false);
      await standBehind("");
      expect(Exit.isSuccess(await answered)).toBe(true);
    } finally {
      await standBehind("");
      await admin.end();
    }
  });
});
