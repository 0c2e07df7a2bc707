/** Work under a lease in processes of their own: one works, also when another one is frozen, wakes up, or is killed. */
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { realServer } from "@tools/servers/testing";
import { Effect } from "effect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import * as PgClient from "../src/PgClient.ts";
import * as PgMigrations from "../src/PgMigrations.ts";
import * as Database from "./Database.ts";

const server = realServer("postgres");
const MAIN = fileURLToPath(new URL("lease.main.ts", import.meta.url));
const SCHEMA = "lease";

/** Long enough for a busy machine to renew in time, in milliseconds. */
const TTL_MS = 3_000;

type Child = ChildProcessByStdio<null, Readable, null>;

/** A worker, and what it said and has not been asked for yet. */
class Workman {
  readonly child: Child;
  readonly #lines: AsyncIterator<string>;

  constructor(url: string) {
    this.child = spawn(
      process.execPath,
      ["--conditions=@org/source", "--disable-warning=ExperimentalWarning", MAIN, url, SCHEMA, "puller", String(TTL_MS)],
      { stdio: ["ignore", "pipe", "inherit"] },
    );
    this.#lines = createInterface(this.child.stdout)[Symbol.asyncIterator]();
  }

  /** The next thing it says that is not a log line. */
  async says(): Promise<string> {
    for (;;) {
      const { value, done } = await this.#lines.next();
      if (done === true) throw new Error("it has ended");
      if (/^(runs \d+|stops)$/.test(value)) return value;
    }
  }
}

const fenceOf = (line: string): number => Number(/^runs (\d+)$/.exec(line)?.[1]);

describe.runIf(server !== null)("work under a lease on PostgreSQL", () => {
  let database: Database.Database;
  const children: Array<Child> = [];
  beforeAll(async () => {
    database = await Database.create(server ?? "");
    await Effect.runPromise(Effect.provide(PgMigrations.up(), PgClient.layer({ url: database.url, schema: SCHEMA })));
  });
  afterAll(async () => {
    for (const child of children) child.kill("SIGKILL");
    await database.drop();
  });

  const start = (): Workman => {
    const workman = new Workman(database.url);
    children.push(workman.child);
    return workman;
  };

  it("is taken over from a frozen process, which stops when it wakes up, and from a killed one; the fence grows each time", async () => {
    const ada = start();
    const first = fenceOf(await ada.says());
    const bob = start();
    ada.child.kill("SIGSTOP");
    const second = fenceOf(await bob.says());
    ada.child.kill("SIGCONT");
    expect(await ada.says()).toBe("stops");
    bob.child.kill("SIGKILL");
    const third = fenceOf(await ada.says());
    expect([first < second, second < third]).toEqual([true, true]);
  });
});
