/**
 * `DirectSaga` on PostgreSQL: its process is killed in the middle of a step, and another one goes on; the answer to each of its
 * COMMITs is lost, or the COMMIT itself.
 */
import type { ChildProcess } from "node:child_process";
import { SagaStore } from "@org/saga-core";
import { realServer } from "@tools/servers/testing";
import { Effect } from "effect";
import { describe, expect, it, vi } from "vitest";
import * as KilledProcess from "./KilledProcess.ts";
import * as Trip from "./Trip.ts";

const server = realServer("postgres");
const PATIENCE = { timeout: 40_000, interval: 50 };

describe.runIf(server !== null)("a direct saga on PostgreSQL", () => {
  const world = KilledProcess.suite({ server: server ?? "", main: "directSaga.main.ts", schema: "trips", tables: Trip.TABLES });

  const lines = async (): Promise<ReadonlyArray<Trip.Line>> =>
    (await world().outside.query<Trip.Line>("select pid, id, what, key, at, seat from lines order by n")).rows;

  const start = (ids: ReadonlyArray<string>, { hangsAt = "", refuses = false }: Trip.Behaviour = {}): ChildProcess =>
    world().start(ids.join(), hangsAt, refuses ? "refuses" : "");

  /** The status of each instance, when all are at rest. */
  const atRest = async (runtime: KilledProcess.Runtime, ids: ReadonlyArray<string>): Promise<ReadonlyArray<string>> =>
    vi.waitFor(async () => {
      const found = await runtime.runPromise(Effect.flatMap(SagaStore, (store) => store.find(Trip.NAME, ids)));
      const statuses = ids.map((id) => found.get(id)?.status ?? "missing");
      expect(statuses.filter((status) => status !== "completed" && status !== "compensated")).toEqual([]);
      return statuses;
    }, PATIENCE);

  const said = ({ at, what }: Trip.Line): string => `${what} ${at}`;

  for (const moment of ["begins", "done"] as const) {
    it(`killed where a step ${moment}: another process asks for that step again, under its key, and for no other`, async () => {
      const runtime = await world().runtimeOf(world().url);
      const first = start(["t"], { hangsAt: `pay ${moment}` });
      await vi.waitFor(async () => expect((await lines()).map(said)).toContain(`pay ${moment}`), PATIENCE);
      await world().kill(first);
      start([]);
      expect(await atRest(runtime, ["t"])).toEqual(["completed"]);
      const after = (await lines()).filter(({ pid }) => pid !== first.pid);
      expect([...new Set(after.map(said))]).toEqual(["pay begins", "pay done"]);
      // Under the same key, and with what the step before it had found.
      expect(after.map(({ key, seat }) => [key, seat])).toEqual(after.map(() => ["t:pay:1", Trip.SEAT]));
    });

    it(`killed where an undo ${moment}: another process asks for it again, under the key of that undo`, async () => {
      const runtime = await world().runtimeOf(world().url);
      const first = start(["t"], { hangsAt: `cancel ${moment}`, refuses: true });
      await vi.waitFor(async () => expect((await lines()).map(said)).toContain(`cancel ${moment}`), PATIENCE);
      await world().kill(first);
      start([]);
      expect(await atRest(runtime, ["t"])).toEqual(["compensated"]);
      const after = (await lines()).filter(({ pid }) => pid !== first.pid);
      expect([...new Set(after.map(said))]).toEqual(["cancel begins", "cancel done"]);
      expect([...new Set(after.map(({ key }) => key))]).toEqual(["t:book:1/undo"]);
    });
  }

  it("killed with a hundred instances in all phases: each comes to its end, paid with a seat, or canceled and not paid", async () => {
    const runtime = await world().runtimeOf(world().url);
    const ids = Array.from({ length: 100 }, (_, n) => `t-${n}`);
    const first = start(ids);
    await vi.waitFor(async () => expect((await lines()).length).toBeGreaterThan(ids.length), { ...PATIENCE, interval: 1 });
    await world().kill(first);
    // A client that had no answer asks again; who was started before goes on by its timer.
    start(ids);
    const statuses = await atRest(runtime, ids);
    const all = await lines();
    for (const [index, id] of ids.entries()) {
      const own = all.filter((line) => line.id === id);
      const done = new Set(own.filter(({ at }) => at === "done").map(({ what }) => what));
      const paid = own.findIndex(({ what }) => what === "pay");
      if (statuses[index] === "completed") {
        expect([...done]).toEqual(["book", "pay"]);
        // What was done is not done again.
        expect(own.slice(paid).filter(({ what }) => what === "book")).toEqual([]);
        expect(own.slice(paid).every(({ seat }) => seat === Trip.SEAT)).toBe(true);
      } else {
        expect(done.has("cancel")).toBe(true);
        expect(paid).toBe(-1);
      }
      // One round: nothing that may have happened is tried anew.
      expect(new Set(own.map(({ key }) => key)).size).toBeLessThanOrEqual(2);
    }
    expect(new Set(all.map(({ pid }) => pid)).size).toBe(2);
  });

  describe("whose COMMIT is lost", () => {
    for (const [loses, what] of [
      ["answer", "was done, unheard"],
      ["request", "never arrived"],
    ] as const) {
      for (const [index, which] of ["the start", "the first outcome", "the last outcome"].entries()) {
        it(`${which}, which ${what}: the caller hears the end, and each function was called once`, async () => {
          const { losing, outside, proxy, runtimeOf } = world();
          const runtime = await runtimeOf(proxy.url);
          losing(index + 1, loses);
          const running = Effect.flatMap(Trip.make(outside), (trips) => trips.run("t", { id: "t", seat: null }));
          expect(await runtime.runPromise(Effect.scoped(running))).toBe("completed");
          expect(proxy.lost()).toBe(1);
          expect((await lines()).map(said)).toEqual(["book begins", "book done", "pay begins", "pay done"]);
        });
      }
    }
  });
});
