import { Cause, Clock, Effect, Layer, Logger, Metric } from "effect";
import { describe, expect, it } from "vitest";
import { BusError, describeCause, StoreError, Worker } from "@org/saga-core";
import { simulate } from "./Harness.ts";

type Outcome = "fail" | "die" | "interrupt" | "ok" | "fail late";

/** A pass with these outcomes, one after the other, then none; and when each began, in milliseconds. */
const scripted = (outcomes: ReadonlyArray<Outcome>) => {
  const at: Array<number> = [];
  const left = [...outcomes];
  const pass = Effect.gen(function* () {
    at.push(yield* Clock.currentTimeMillis);
    switch (left.shift()) {
      case "fail":
        return yield* new StoreError({ reason: "Unavailable", operation: "x", message: "away" });
      case "fail late":
        return yield* Effect.andThen(Effect.sleep(Worker.HEALTHY_MS), Effect.die("lost"));
      case "die":
        return yield* Effect.die(new Error("a bug"));
      case "interrupt":
        return yield* Effect.interrupt;
      case "ok":
        return yield* Effect.sleep(1_000);
      case undefined:
        return yield* Effect.never;
    }
  });
  return { pass, pauses: () => at.slice(1).map((time, index) => time - (at[index] ?? 0)) };
};

const restartsOf = (worker: string) =>
  Effect.map(Metric.snapshot, (metrics) =>
    metrics.flatMap((metric) =>
      metric.id === "saga_worker_restarts_total" && metric.attributes?.["worker"] === worker && metric.type === "Counter"
        ? [metric.state.count]
        : [],
    ),
  );

const run = (name: string, outcomes: ReadonlyArray<Outcome>) => {
  const { pass, pauses } = scripted(outcomes);
  const restarts = simulate(() =>
    Effect.gen(function* () {
      yield* Effect.raceFirst(Layer.launch(Worker.layer(name, pass)), Effect.sleep(120_000));
      return yield* restartsOf(name);
    }),
  );
  return { pauses: pauses(), restarts };
};

describe("a worker that fails", () => {
  it("is run again after pauses that grow up to a bound", () => {
    const { pauses, restarts } = run(
      "growing",
      Array.from({ length: 9 }, () => "fail"),
    );
    expect(pauses).toEqual([100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000, 5_000]);
    expect(pauses.at(-1)).toBe(Worker.PAUSE_MAX_MS);
    expect(restarts).toEqual([9]);
  });

  it("starts over with the shortest pause once a pass went well", () => {
    expect(run("recovering", ["fail", "fail", "fail", "ok", "fail", "fail"]).pauses).toEqual([100, 200, 400, 1_000, 100, 200]);
  });

  it("starts over as well after a pass that went well for long before it failed", () => {
    expect(run("long", ["fail", "fail", "fail late", "fail"]).pauses).toEqual([100, 200, Worker.HEALTHY_MS + 100, 200]);
  });

  it("is counted by its name, whatever it failed of: errors, defects, interruptions from within", () => {
    expect(run("mixed", ["fail", "die", "interrupt", "ok", "die"])).toEqual({ pauses: [100, 200, 400, 1_000, 100], restarts: [4] });
  });

  it("is not counted while all goes well", () => {
    expect(run("well", ["ok", "ok", "ok"])).toEqual({ pauses: [1_000, 1_000, 1_000], restarts: [] });
  });
});

describe("what is logged of a failure", () => {
  const secret = "4111 1111 1111 1111";

  it("is a port's own message, or a defect's name and place, never its text", () => {
    const away = { operation: "x", message: "away" } as const;
    expect(describeCause(Cause.fail(new StoreError({ reason: "Unavailable", ...away })))).toBe("away");
    expect(describeCause(Cause.fail(new BusError({ reason: "Unavailable", ...away })))).toBe("away");
    expect(describeCause(Cause.interrupt(1))).toBe("interrupted");
    for (const defect of [new TypeError(secret), new RangeError(`${secret}\n    at ${secret} (${secret}:1:1)\n`)]) {
      const said = describeCause(Cause.die(defect));
      expect(said).toContain(`a defect (${defect.name} at `);
      expect(said).toContain("Worker.test.ts");
      expect(said).not.toContain(secret);
    }
  });

  it("is little, where nothing is known to be safe", () => {
    const bare = new Error(secret);
    delete bare.stack;
    // Its stack still has the text that it was made with.
    const changed = new Error(`it quotes\nat ${secret}`);
    expect(changed.stack).toContain(secret);
    changed.message = "changed";
    expect([secret, { message: secret }, bare, changed].map((defect) => describeCause(Cause.die(defect)))).toEqual([
      "a defect",
      "a defect",
      "a defect (Error)",
      "a defect (Error)",
    ]);
  });

  it("is all that a worker says", () => {
    const lines: Array<unknown> = [];
    const logger = Logger.make(({ message }) => void lines.push(message));
    simulate(() =>
      Effect.raceFirst(Layer.launch(Worker.layer("shop", Effect.die(new Error(secret)))), Effect.sleep(1_000)).pipe(
        Effect.provide(Logger.layer([logger])),
      ),
    );
    expect(lines.length).toBeGreaterThan(0);
    expect(String(lines)).toContain("shop: a defect (Error at ");
    expect(String(lines)).not.toContain(secret);
  });
});
