/** A data folder of an embedded database has one process at a time. */
import { type ChildProcess, fork } from "node:child_process";
import { mkdtemp, readdir, rm, utimes, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Effect } from "effect";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import * as PgliteInstance from "../src/PgliteInstance.ts";
import * as PgliteLock from "../src/PgliteLock.ts";
import * as Embedded from "./Embedded.ts";

let folder: string;
const children: Array<ChildProcess> = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "saga-folder-"));
});
afterEach(async () => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
  await rm(folder, { recursive: true });
});

/** A process with the folder, and what it says of it. */
const other = async () => {
  const child = fork(fileURLToPath(new URL("folder.main.ts", import.meta.url)), [folder], { execArgv: ["--conditions=@org/source"] });
  children.push(child);
  const said = await new Promise<unknown>((resolve) => child.once("message", resolve));
  return { child, said };
};

const locks = async () => (await readdir(folder)).filter((file) => file.startsWith("saga.lock"));
const rows = Effect.flatMap(
  Effect.suspend(() => PgliteInstance.open({ dataDir: folder })),
  (instance) => Effect.promise(async () => (await instance.query("select n from kept")).rows),
);
const left = (pid: number, host: string) => join(folder, `saga.lock.${pid}.00000000-0000-4000-8000-000000000000.${host}`);

describe("a data folder", () => {
  it(
    "is refused to a second process, by the first one's number, and opens again once that was killed",
    {
      timeout: 4 * Embedded.START_TIMEOUT_MS,
    },
    async () => {
      const first = await other();
      expect(first.said).toBe("open");
      const refused = await Effect.runPromise(Effect.flip(Effect.scoped(rows)));
      expect(refused).toMatchObject({ reason: "Misuse" });
      expect(refused.message).toContain(`in use by process ${first.child.pid}:`);
      expect((await other()).said).toBe(refused.message);
      // They left nothing of their own, and took nothing of its.
      expect(await locks()).toHaveLength(1);
      const ended = new Promise((resolve) => first.child.once("exit", resolve));
      first.child.kill("SIGKILL");
      await ended;
      expect(await Effect.runPromise(Effect.scoped(rows))).toEqual([{ n: 1 }]);
      expect(await locks()).toEqual([]);
    },
  );

  it("is refused to a second client of the same process, whatever it is called", async () => {
    const twice = Effect.andThen(
      Effect.acquireRelease(PgliteLock.take(folder), (giveBack) => giveBack),
      Effect.flip(PgliteInstance.open({ dataDir: `file://${join(folder, ".", "")}` })),
    );
    expect(await Effect.runPromise(Effect.scoped(twice))).toMatchObject({ reason: "Misuse" });
    expect(await locks()).toEqual([]);
  });

  it("is given to at most one of many that come at once", async () => {
    const taken = await Effect.runPromise(
      Effect.all(
        Array.from({ length: 8 }, () => Effect.exit(PgliteLock.take(folder))),
        { concurrency: "unbounded" },
      ),
    );
    const got = taken.filter((exit) => exit._tag === "Success");
    expect(got.length).toBeLessThanOrEqual(1);
    expect(await locks()).toHaveLength(got.length);
  });

  it("is taken from a process before this one that had its number, not from one of another host or user", async () => {
    const before = left(process.pid, hostname());
    await writeFile(before, "");
    await utimes(before, 1, 1);
    await Effect.runPromise(Effect.flatten(PgliteLock.take(folder)));
    expect(await locks()).toEqual([]);
    // Always there.
    await writeFile(left(1, hostname()), "");
    expect((await Effect.runPromise(Effect.flip(PgliteLock.take(folder)))).message).toContain("process 1:");
    await rm(left(1, hostname()));
    await writeFile(left(1, "elsewhere"), "");
    expect((await Effect.runPromise(Effect.flip(PgliteLock.take(folder)))).message).toContain("process 1 of host elsewhere:");
  });

  it("that cannot be one is refused, with nothing left", async () => {
    await writeFile(join(folder, "file"), "");
    expect(await Effect.runPromise(Effect.flip(PgliteLock.take(join(folder, "file"))))).toMatchObject({ _tag: "StoreError" });
  });

  it("of data that are in memory is none", () => {
    expect(["memory://", "idb://x", "", "data", "/data", "file://data"].map(PgliteLock.folderOf)).toEqual([
      null,
      null,
      null,
      "data",
      "/data",
      "data",
    ]);
  });
});
