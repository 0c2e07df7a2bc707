import { Clock, Effect, Result } from "effect";
import { TestClock } from "effect/testing";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { SoldOut, type StockCommand, type StockLedger } from "../../src/index.ts";
import { word } from "../../src/testing/contracts/StockShop.ts";
import { adjust, apple, connect, memory, onTestClock, order, release, request } from "./SoldOutProcess.ts";

/** Enough for new ones to come after others were refused, and few enough to come again. */
const ORDERS = 20;

/** What happens to a few orders in one of two processes, after so many milliseconds. */
interface Step {
  readonly at: 0 | 1;
  readonly moved: number;
  readonly order: number;
  readonly what: "ask" | "release" | "commit" | "expire" | "deliver";
}

const steps: fc.Arbitrary<ReadonlyArray<Step>> = fc.array(
  fc.record({
    at: fc.constantFrom(0, 1),
    moved: fc.constantFrom(0, 1, 100, SoldOut.SOLD_OUT_MS),
    order: fc.nat({ max: ORDERS - 1 }),
    what: fc.constantFrom("ask", "ask", "ask", "release", "commit", "expire", "deliver"),
  }),
  { minLength: 30, maxLength: 120 },
);

describe("SoldOut in two processes, when only first requests come through `first`,", () => {
  test("tells no order that was granted that there was no stock, and refuses from a mark only what the engine refused a moment ago", () =>
    fc.assert(
      fc.asyncProperty(steps, (all) => onTestClock(replay(all))),
      { numRuns: 200 },
    ));
});

const replay = Effect.fnUntraced(function* (all: ReadonlyArray<Step>) {
  const engine = yield* memory;
  const processes = [yield* connect(engine), yield* connect(engine)] as const;
  yield* engine.execute([adjust("seed", 2)]);
  const seen = new Set<number>();
  const granted = new Set<number>();
  /** Per process: the refusals of the engine, none older than the last units that came back through the process. */
  const refusals: [Array<Refusal>, Array<Refusal>] = [[], []];
  for (const [index, { at, moved, order: name, what }] of all.entries()) {
    yield* TestClock.adjust(moved);
    const process = processes[at];
    const now = Number(yield* Clock.monotonicTimeNanos) / 1_000_000;
    if (what === "ask") {
      const ask = request(name, 1 + (name % 3), apple, 1 + name * 50);
      const before = process.asked.length;
      const [answer] = yield* seen.has(name) ? process.stock.execute([ask]) : process.door.first([ask]);
      const said = answer === undefined ? "nothing" : word(answer);
      if (said === "OutOfStock") expect(granted.has(name)).toBe(false);
      if (process.asked.length > before) {
        if (said === "OutOfStock") refusals[at].push({ now, quantity: 1 + (name % 3) });
      } else {
        expect(said).toBe("OutOfStock");
        expect(seen.has(name)).toBe(false);
        expect(refusals[at].some((each) => now - each.now < SoldOut.SOLD_OUT_MS && each.quantity <= 1 + (name % 3))).toBe(true);
      }
      seen.add(name);
      if (said === "Reserved") granted.add(name);
    } else {
      const [answer] = yield* process.stock.execute([commandOf(what, name, index)]);
      if (answer !== undefined && gaveBack(answer)) refusals[at] = [];
    }
  }
});

interface Refusal {
  readonly now: number;
  readonly quantity: number;
}

const gaveBack = (answer: StockLedger.Answer): boolean =>
  Result.isSuccess(answer) &&
  (answer.success._tag === "Adjusted" || (answer.success._tag === "Released" && answer.success.lines.length > 0));

const commandOf = (what: Exclude<Step["what"], "ask">, name: number, index: number): StockCommand => {
  switch (what) {
    case "release":
      return release(name);
    case "commit":
      return { _tag: "Commit", orderId: order(name) };
    case "expire":
      return { _tag: "Expire", orderId: order(name) };
    case "deliver":
      return adjust(`delivery-${index}`, 1);
  }
};
