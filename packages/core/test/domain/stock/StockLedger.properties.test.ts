import { Result } from "effect";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Decider, StockLedger, type StockCommand, type Warehouse } from "../../../src/index.ts";
import { command, orders, problems, stocked, ticks, type Tick, warehouses } from "./StockModel.ts";

interface Seen {
  readonly before: StockLedger.StockView;
  readonly after: StockLedger.StockView;
  readonly answer: StockLedger.Answer;
  readonly tick: Tick;
  readonly now: number;
}

/** Every command on its own, with the clock where the ticks put it. */
const walk = (all: ReadonlyArray<Tick>, start = stocked(8)): ReadonlyArray<Seen> => {
  let state = start;
  let now = 1_000;
  return all.map((tick) => {
    now = Math.max(0, now + tick.moved);
    const before = state;
    const batch = StockLedger.decideBatch(before, [tick.command], now);
    state = StockLedger.patch(before, batch.writes);
    const answer = batch.answers[0];
    if (answer === undefined) throw new Error("one command, one answer");
    return { before, after: state, answer, tick, now };
  });
};

const RUNS = { numRuns: 400 };

describe("StockLedger, whatever is asked of it", () => {
  test("never promises more than is on hand, except for a shortage that an adjustment made, loses no unit, and keeps to buyers' limits (G1, G2)", () => {
    fc.assert(
      fc.property(ticks(60), (all) => {
        for (const { before, after, tick } of walk(all)) {
          expect(problems(after)).toEqual([]);
          for (const [sku, books] of after.skus) {
            for (const warehouse of [undefined, ...warehouses]) {
              const shortage = (of: StockLedger.SkuBooks | undefined) => (of === undefined ? 0 : (shelf(of, warehouse)?.shortage ?? 0));
              if (shortage(books) > shortage(before.skus.get(sku))) expect(tick.command).toMatchObject({ _tag: "Adjust", sku });
            }
          }
        }
      }),
      RUNS,
    );
  });

  test("answers a repeated command the same, and changes nothing", () => {
    fc.assert(
      fc.property(ticks(40), (all) => {
        for (const { after, answer, tick, now } of walk(all)) {
          if (Result.isFailure(answer)) continue;
          const again = StockLedger.decideBatch(after, [tick.command], now);
          expect(again.answers).toEqual([answer]);
          expect(again.events).toEqual([]);
          expect(again.writes).toEqual({ skus: [], holds: [], adjustments: [], buyers: [] });
        }
      }),
      RUNS,
    );
  });

  test("changes nothing when it refuses", () => {
    fc.assert(
      fc.property(ticks(40), (all) => {
        for (const { before, after, answer } of walk(all)) if (Result.isFailure(answer)) expect(after).toEqual(before);
      }),
      RUNS,
    );
  });

  test("decides a batch as its commands one after the other", () => {
    fc.assert(
      fc.property(ticks(20), fc.array(command, { maxLength: 20 }), fc.nat({ max: 2_000 }), (all, commands, now) => {
        const start = walk(all).at(-1)?.after ?? stocked(8);
        const batch = StockLedger.decideBatch(start, commands, now);
        let state = start;
        const answers = commands.map((each) => {
          const one = StockLedger.decideBatch(state, [each], now);
          state = StockLedger.patch(state, one.writes);
          return one.answers[0];
        });
        expect(batch.answers).toEqual(answers);
        expect(StockLedger.patch(start, batch.writes)).toEqual(state);
      }),
      RUNS,
    );
  });

  test("needs only what touches, skusOf and mayRevoke name", () => {
    fc.assert(
      fc.property(ticks(20), fc.array(command, { maxLength: 12 }), fc.nat({ max: 2_000 }), (all, commands, now) => {
        const whole = walk(all).at(-1)?.after ?? stocked(8);
        expect(StockLedger.decideBatch(part(whole, commands), commands, now)).toEqual(StockLedger.decideBatch(whole, commands, now));
      }),
      RUNS,
    );
  });

  test("folds its events to what it writes", () => {
    fc.assert(
      fc.property(ticks(15), fc.array(command, { maxLength: 10 }), fc.nat({ max: 2_000 }), (all, commands, now) => {
        const start = walk(all).at(-1)?.after ?? stocked(8);
        const batch = StockLedger.decideBatch(start, commands, now);
        expect(Decider.fold(StockLedger.decider, batch.events, start)).toEqual(StockLedger.patch(start, batch.writes));
      }),
      RUNS,
    );
  });

  test("dates nothing before what it touched, whatever the clock says", () => {
    fc.assert(
      fc.property(ticks(40), (all) => {
        for (const { before, after } of walk(all)) {
          for (const [sku, books] of after.skus) expect(books.at).toBeGreaterThanOrEqual(before.skus.get(sku)?.at ?? 0);
          for (const [id, hold] of after.holds) expect(hold.at).toBeGreaterThanOrEqual(before.holds.get(id)?.at ?? 0);
        }
      }),
      RUNS,
    );
  });

  test("is done with an order that was released or shipped", () => {
    fc.assert(
      fc.property(ticks(60), (all) => {
        for (const { before, after } of walk(all)) {
          for (const id of orders) {
            const was = before.holds.get(id);
            if (was?.status === "released" || was?.status === "shipped") expect(after.holds.get(id)).toEqual(was);
          }
        }
      }),
      RUNS,
    );
  });
});

const shelf = (books: StockLedger.SkuBooks, warehouse: Warehouse | undefined): { readonly shortage: number } | undefined =>
  warehouse === undefined ? books : books.elsewhere?.find((each) => each.warehouse === warehouse);

/** What an engine reads for `commands`. */
const part = (whole: StockLedger.StockView, commands: ReadonlyArray<StockCommand>): StockLedger.StockView =>
  StockLedger.part(whole, commands, (sku) =>
    [...whole.holds.values()].filter((hold) => hold.status === "held" && hold.lines.some((line) => line.sku === sku)),
  );
