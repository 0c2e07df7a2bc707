import { type Timer, Timers, UnitOfWork } from "@org/saga-core";
import { PgStores } from "@org/saga-postgres";
import { Effect, Layer } from "effect";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { open, type Shell, SLOW_MS } from "./Shell.ts";

const DUE = Date.UTC(2030, 0, 2, 3, 4, 5);

vi.setConfig({ testTimeout: SLOW_MS });

let shell: Shell;
const stores = <A, E>(effect: Effect.Effect<A, E, PgStores.PgStores>): Promise<A> =>
  Effect.runPromise(Effect.provide(effect, Layer.provide(PgStores.layerClient, shell.client("order"))));

const timer = (key: string, name: string, dueAt: number, owner = "checkout"): Timer => ({ owner, key, name, token: `t-${name}`, dueAt });

const schedule = (...timers: ReadonlyArray<Timer>): Promise<void> =>
  stores(
    Effect.gen(function* () {
      yield* (yield* UnitOfWork).commit((yield* Timers).schedule(timers));
    }),
  );

const stored = (key: string): Promise<ReadonlyArray<Timer>> => stores(Effect.flatMap(Timers, (timers) => timers.list("checkout", key)));

beforeAll(async () => {
  shell = await open();
  await shell.run(["migrate", "up", "--schema", "order"]);
}, SLOW_MS);
afterAll(() => shell.close());

describe("saga timers list", () => {
  test("shows what waits by due time, of one owner or of all, page by page", async () => {
    await schedule(
      timer("o-2", "capture", DUE),
      timer("o-1", "capture", DUE + 1),
      timer("o-1", "fulfill", DUE + 2),
      timer("p-1", "ask", 1, "payment"),
    );
    const all = await shell.run(["timers", "list", "--schema", "order"]);
    expect(all).toEqual({
      code: 0,
      stdout: [
        "SCHEMA  OWNER     KEY  NAME     DUE",
        "order   checkout  o-2  capture  2030-01-02T03:04:05.000Z",
        "order   checkout  o-1  capture  2030-01-02T03:04:05.001Z",
        "order   checkout  o-1  fulfill  2030-01-02T03:04:05.002Z",
        "order   payment   p-1  ask      1970-01-01T00:00:00.001Z",
      ].join("\n"),
      stderr: "",
    });
    const page = await shell.run(["timers", "list", "--schema", "order", "--owner", "checkout", "--max", "2", "--json"]);
    expect(JSON.parse(page.stdout)).toMatchObject([{ key: "o-2" }, { key: "o-1", name: "capture" }]);
    const next = /--after (\S+)$/.exec(page.stderr)?.[1] ?? "";
    const rest = await shell.run(["timers", "list", "--schema", "order", "--owner", "checkout", "--max", "2", "--after", next, "--json"]);
    expect(JSON.parse(rest.stdout)).toEqual([
      { schema: "order", owner: "checkout", key: "o-1", name: "fulfill", dueAt: "2030-01-02T03:04:05.002Z" },
    ]);
    expect(rest.stderr).toBe("");
  });

  test("refuses a page that nobody gave, and one of several lists", async () => {
    const wrong = await shell.run(["timers", "list", "--schema", "order", "--owner", "checkout", "--after", "page-2"]);
    expect([wrong.code, wrong.stderr]).toEqual([2, expect.stringContaining("the page before")]);
    const several = await shell.run(["timers", "list", "--schema", "order", "--after", "WzEsImEiLCJiIl0"]);
    expect([several.code, several.stderr]).toEqual([2, expect.stringContaining("--owner")]);
    expect((await shell.run(["timers", "list", "--schema", "order", "--max", "0"])).code).toBe(2);
  });
});

describe("saga timers reschedule", () => {
  test("moves the timers of one instance, with the tokens they have; first it shows what it would do", async () => {
    await schedule(timer("o-7", "capture", DUE), timer("o-7", "fulfill", DUE + 1), timer("o-8", "capture", DUE));
    const args = ["timers", "reschedule", "o-7", "--schema", "order", "--owner", "checkout", "--at", "2031-01-02T03:04:05+01:00"];
    const planned = await shell.run([...args, "--dry-run"]);
    expect(planned.stdout.split("\n")[0]).toBe("would move o-7 capture: 2030-01-02T03:04:05.000Z -> 2031-01-02T02:04:05.000Z");
    expect(await stored("o-7")).toEqual([timer("o-7", "capture", DUE), timer("o-7", "fulfill", DUE + 1)]);

    const one = await shell.run([...args, "--name", "capture", "--json"]);
    expect(JSON.parse(one.stdout)).toMatchObject({ rescheduled: [{ key: "o-7", name: "capture", dueAt: "2031-01-02T02:04:05.000Z" }] });
    const moved = Date.UTC(2031, 0, 2, 2, 4, 5);
    expect(await stored("o-7")).toEqual([timer("o-7", "fulfill", DUE + 1), timer("o-7", "capture", moved)]);
    expect(await stored("o-8")).toEqual([timer("o-8", "capture", DUE)]);
  });

  test("now is the database's: the services fire it at once", async () => {
    await schedule(timer("o-9", "capture", DUE));
    expect((await shell.run(["timers", "reschedule", "o-9", "--schema", "order", "--owner", "checkout", "--at", "now"])).code).toBe(0);
    const due = await stores(Effect.flatMap(Timers, (timers) => timers.claimDue("checkout", 10, 1)));
    expect(due.map(({ key, token }) => [key, token])).toEqual([["o-9", "t-capture"]]);
  });

  test("says what is wrong: no such timer, no time, two schemas", async () => {
    const args = (...more: ReadonlyArray<string>) => ["timers", "reschedule", "o-1", "--owner", "checkout", ...more];
    const nothing = await shell.run(args("--schema", "order", "--name", "unknown", "--at", "now"));
    expect([nothing.code, nothing.stderr]).toEqual([1, expect.stringContaining("no such timer of o-1")]);
    for (const at of ["tomorrow", "2026-01-02", "2026-01-02T03:04:05", "2026-13-02T03:04:05Z"]) {
      const when = await shell.run(args("--schema", "order", "--at", at));
      expect([when.code, when.stderr]).toEqual([2, expect.stringContaining("with a time zone")]);
    }
    expect((await shell.run(args("--schema", "order", "--schema", "checkout", "--at", "now"))).code).toBe(2);
  });
});
