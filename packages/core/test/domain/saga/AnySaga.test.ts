import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { SagaDecider } from "@org/saga-core";
import { anyFates, anyPlan, declare } from "./AnySaga.ts";
import { AnyWorld } from "./AnyWorld.ts";

/** Runs: enough for each pair of features to meet. */
const RUNS = 1_000;

/** Time for them on a machine that does something else, in milliseconds. */
const TEST_MAX_MS = 60_000;

/** What happens next, drawn by a number. */
const act = (world: AnyWorld, draw: number): void => {
  const { length } = world.network;
  const which = Math.floor(draw / 32);
  const index = length === 0 ? 0 : which % length;
  const kind = draw % 32;
  if (kind < 16) world.deliver(index);
  else if (kind < 20) world.deliver(index, true);
  else if (kind < 23) world.lose(index);
  else if (kind < 26) world.fire();
  else if (kind < 27) world.fire(true);
  else if (kind < 28) world.stale(which);
  else if (kind < 30) world.ring(which);
  else if (kind < 31) world.resume();
  else if (which % 4 === 0) world.cancel();
};

/** Everything was undone that has an undo; what never arrived is refused when it does. */
const checkUndone = (world: AnyWorld): void => {
  for (const step of world.definition.steps) {
    if (step._tag !== "Remote" || step.undo === null) continue;
    for (const [key, effect] of world.effects) if (key.startsWith(`i:${step.name}:`)) expect([key, effect]).not.toEqual([key, "done"]);
  }
};

/** Each step was done once, in its last round, or it was passed over. */
const checkDone = (world: AnyWorld): void => {
  for (const step of world.definition.steps) {
    const status = world.instance.steps[step.name]?.status;
    expect(["done", "skipped", "failed"]).toContain(status);
    if (step._tag !== "Remote") continue;
    const done = [...world.effects].filter(([key, effect]) => key.startsWith(`i:${step.name}:`) && effect === "done");
    expect(done.map(([key]) => key)).toEqual(status === "done" ? [SagaDecider.stepKey(world.instance, step.name)] : []);
    if (status === "failed") expect(step.otherwise).toBe("goOn");
  }
};

describe("any saga under loss, duplication, reordering, timeouts, signals and cancels", () => {
  it(
    "keeps the decider's invariants and comes to rest with everything done once, or everything undone",
    () => {
      const ends = new Map<string, number>();
      fc.assert(
        fc.property(anyPlan, anyFates, fc.array(fc.nat({ max: 1_000_000 }), { maxLength: 80 }), (plan, fates, draws) => {
          const world = new AnyWorld(declare(plan), fates);
          for (const draw of draws) act(world, draw);
          world.checkStored();
          world.settle();
          for (let times = 0; world.instance.status === "compensationFailed" && times < 30; times += 1) {
            world.resume();
            world.settle();
          }
          const { status } = world.instance;
          ends.set(status, (ends.get(status) ?? 0) + 1);
          expect(["completed", "compensated"]).toContain(status);
          if (status === "completed") checkDone(world);
          else checkUndone(world);
        }),
        { numRuns: RUNS },
      );
      expect(Math.min(ends.get("completed") ?? 0, ends.get("compensated") ?? 0)).toBeGreaterThan(RUNS / 10);
    },
    TEST_MAX_MS,
  );
});
