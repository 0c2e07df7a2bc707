/**
 * `Participant` on PostgreSQL: its process is killed in the middle of a call, and another one goes on; the answer to each of its
 * COMMITs is lost, or the COMMIT itself. Nobody is charged twice. Deaths at all other gaps: `ParticipantContract`.
 */
import { Outbox, TimerPump } from "@org/saga-core";
import { realServer } from "@tools/servers/testing";
import { Effect, Exit } from "effect";
import { describe, expect, it, vi } from "vitest";
import * as Charges from "./Charges.ts";
import * as KilledProcess from "./KilledProcess.ts";

const server = realServer("postgres");
const PATIENCE = { timeout: 40_000, interval: 50 };
const UNLIMITED = 1_000;
const ID = "o";

describe.runIf(server !== null)("a participant on PostgreSQL", () => {
  const world = KilledProcess.suite({ server: server ?? "", main: "participant.main.ts", schema: "payments", tables: Charges.TABLES });

  const lines = async (): Promise<ReadonlyArray<Charges.Line>> =>
    (await world().outside.query<Charges.Line>("select pid, key, at from calls order by n")).rows;

  const at = (all: ReadonlyArray<Charges.Line>): ReadonlyArray<string> => all.map((line) => line.at);

  /** Types of what was answered under the step's key, until there is something. */
  const answers = (runtime: KilledProcess.Runtime): Promise<ReadonlyArray<string>> =>
    vi.waitFor(async () => {
      const found: Array<string> = [];
      const drained = Effect.gen(function* () {
        const outbox = yield* Outbox;
        for (const shard of yield* outbox.pendingShards)
          yield* outbox.drain(shard, UNLIMITED, (batch) => {
            found.push(...batch.flatMap(({ stepKey, type }) => (stepKey === Charges.keyOf(ID) ? [type] : [])));
            return Effect.succeed(batch.map(() => "Published" as const));
          });
      });
      await runtime.runPromise(drained);
      expect(found).not.toEqual([]);
      return found;
    }, PATIENCE);

  for (const moment of ["begins", "done"] as const) {
    it(`killed where a call ${moment === "begins" ? "begins" : "is done"}: another process asks what became of it first`, async () => {
      const { kill, runtimeOf, start, url } = world();
      const runtime = await runtimeOf(url);
      const first = start(ID, moment);
      await vi.waitFor(async () => expect(at(await lines())).toContain(moment), PATIENCE);
      await kill(first);
      start("", "");
      expect(await answers(runtime)).toEqual([Charges.Charged.type]);
      const all = await lines();
      const after = all.filter(({ pid }) => pid !== first.pid);
      expect(after[0]?.at).toBe("asked");
      // What never arrived is asked about until that is sure, and made then; what was done is not made again.
      expect(at(after).filter((each) => each !== "asked")).toEqual(moment === "begins" ? ["begins", "done"] : []);
      expect(at(all).filter((each) => each === "done")).toHaveLength(1);
      expect([...new Set(all.map(({ key }) => key))]).toEqual([Charges.keyOf(ID)]);
    });
  }

  describe("whose COMMIT is lost", () => {
    for (const [loses, what] of [
      ["answer", "was done, unheard"],
      ["request", "never arrived"],
    ] as const) {
      for (const [index, which] of ["what is asked", "the attempt", "the outcome"].entries()) {
        it(`of ${which}, which ${what}: it is charged once, and answered once`, async () => {
          const { losing, outside, proxy, runtimeOf } = world();
          const runtime = await runtimeOf(proxy.url);
          losing(index + 1, loses);
          const charging = Effect.gen(function* () {
            const participant = yield* Charges.make(outside);
            const [handled] = yield* participant.handle([Charges.ask(ID)]);
            expect(handled !== undefined && Exit.isSuccess(handled)).toBe(true);
            yield* TimerPump.pumpOnce(Charges.NAME, participant.onTimers);
            yield* Effect.promise(async () => expect(await answers(runtime)).toEqual([Charges.Charged.type]));
          });
          await runtime.runPromise(Effect.scoped(charging));
          expect(proxy.lost()).toBe(1);
          expect(at(await lines())).toEqual(["begins", "done"]);
        });
      }
    }
  });
});
