/** A database of each test's own, a look at it from outside, processes that are killed, and a way to the server that loses a COMMIT. */
import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { ManagedRuntime } from "effect";
import pg from "pg";
import { afterEach, beforeEach } from "vitest";
import * as PgStores from "../src/PgStores.ts";
import * as CommitProxy from "./CommitProxy.ts";
import * as Database from "./Database.ts";

export type Runtime = ManagedRuntime.ManagedRuntime<PgStores.PgStores, unknown>;

export interface Options {
  readonly server: string;
  /** What a process runs: a file beside this one. */
  readonly main: string;
  readonly schema: string;
  /** Made before each test. */
  readonly tables: string;
}

export interface World {
  readonly url: string;
  /** Beside the library. */
  readonly outside: pg.Pool;
  /** The stores, by whatever way to the server. */
  readonly runtimeOf: (url: string) => Promise<Runtime>;
  readonly start: (...args: ReadonlyArray<string>) => ChildProcess;
  readonly kill: (child: ChildProcess) => Promise<void>;
  /** A way to the server on which the `at`-th COMMIT from when this is set is lost. */
  readonly losing: (at: number, loses: CommitProxy.Rule["loses"]) => void;
  readonly proxy: CommitProxy.CommitProxy;
}

/** For a `describe`: the world of the test that runs. */
export const suite = ({ main, schema, server, tables }: Options): (() => World) => {
  let world: World;
  let end: () => Promise<void>;
  beforeEach(async () => {
    const database = await Database.create(server);
    const outside = new pg.Pool({ connectionString: database.url, max: 2 });
    // The database is dropped with whoever is still connected.
    outside.on("error", () => undefined);
    await outside.query(tables);
    const runtimes: Array<Runtime> = [];
    const children: Array<ChildProcess> = [];
    let lost: { readonly at: number; readonly rule: CommitProxy.Rule } | null = null;
    let commits = 0;
    const proxy = await CommitProxy.start(database.url, (chunk) => {
      if (lost === null || !chunk.includes(CommitProxy.COMMIT)) return null;
      commits += 1;
      return commits === lost.at ? lost.rule : null;
    });
    world = {
      url: database.url,
      outside,
      proxy,
      runtimeOf: async (url) => {
        const runtime = ManagedRuntime.make(PgStores.layer({ url, schema }));
        runtimes.push(runtime);
        await runtime.context();
        return runtime;
      },
      start: (...args) => {
        const file = fileURLToPath(new URL(main, import.meta.url));
        const child = fork(file, [database.url, schema, ...args], { execArgv: ["--conditions=@org/source"] });
        children.push(child);
        return child;
      },
      kill: async (child) => {
        const ended = new Promise((resolve) => child.once("exit", resolve));
        child.kill("SIGKILL");
        await ended;
      },
      losing: (at, loses) => {
        lost = { at, rule: { on: CommitProxy.COMMIT, loses } };
      },
    };
    end = async () => {
      for (const child of children) child.kill("SIGKILL");
      await Promise.all(runtimes.map((runtime) => runtime.dispose()));
      await proxy.stop();
      await outside.end();
      await database.drop();
    };
  });
  afterEach(() => end());
  return () => world;
};
