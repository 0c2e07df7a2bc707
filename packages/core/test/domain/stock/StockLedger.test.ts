import { Result } from "effect";
import { describe, expect, test } from "vitest";
import { OrderId, Sku, StockLedger, type StockCommand } from "../../../src/index.ts";
import { IDENTIFIER_MAX, STOCK_MAX } from "../../../src/domain/Limits.ts";
import * as StockNames from "../../../src/domain/stock/StockNames.ts";
import { line, stocked } from "./StockModel.ts";

const apple = Sku.make("apple");
const pear = Sku.make("pear");
const id = (name: string): OrderId => OrderId.make(name);
const reserve = (name: string, units: number, ttlMillis = 100): StockCommand => ({
  _tag: "Reserve",
  orderId: id(name),
  lines: [line("apple", units)],
  ttlMillis,
});
const adjust = (name: string, delta: number, sku = apple): StockCommand => ({ _tag: "Adjust", id: name, sku, delta });

/** The ledger after commands at their times, and the last answer. */
const after = (steps: ReadonlyArray<readonly [now: number, command: StockCommand]>, start = stocked(8)) => {
  let state = start;
  let answer: StockLedger.Answer | undefined;
  for (const [now, command] of steps) {
    const batch = StockLedger.decideBatch(state, [command], now);
    state = StockLedger.patch(state, batch.writes);
    answer = batch.answers[0];
  }
  return { state, answer };
};

describe("StockLedger", () => {
  test("holds until now plus the time asked for, and not a millisecond longer", () => {
    const expire: StockCommand = { _tag: "Expire", orderId: id("a") };
    expect(after([[1_000, reserve("a", 1)]]).answer).toMatchObject({ success: { until: 1_100 } });
    expect(
      after([
        [1_000, reserve("a", 1)],
        [1_099, expire],
      ]).answer,
    ).toEqual(Result.fail({ _tag: "HoldAlive", orderId: "a", until: 1_100 }));
    expect(
      after([
        [1_000, reserve("a", 1)],
        [1_100, expire],
      ]).answer,
    ).toMatchObject({ success: { _tag: "Released", reason: "expired" } });
  });

  test("renews a hold that is over only if a ledger has decided it", () => {
    const renew: StockCommand = { _tag: "Renew", orderId: id("a"), ttlMillis: 100 };
    const renewed = (command: StockCommand) =>
      after([
        [1_000, reserve("a", 1)],
        [1_100, command],
      ]).answer;
    expect(renewed(renew)).toEqual(Result.fail({ _tag: "HoldExpired", orderId: "a" }));
    expect(renewed({ ...renew, until: 1_199 })).toMatchObject({ success: { _tag: "Reserved", until: 1_199 } });
  });

  test("leaves what was granted before to engines that look where it was", () => {
    const ordinary = reserve("a", 1);
    expect(StockLedger.ordinaryLines(ordinary)).toEqual([line("apple", 1)]);
    expect(StockLedger.ordinaryLines(Object.assign(ordinary, { granted: [line("apple", 1)] }))).toBeNull();
  });

  test("commits an unswept hold after its time from its own stock", () => {
    const { state, answer } = after([
      [0, reserve("a", 8)],
      [500, { _tag: "Commit", orderId: id("a") }],
    ]);
    expect(answer).toMatchObject({ success: { _tag: "Committed" } });
    expect(state.skus.get(apple)).toMatchObject({ held: 0, committed: 8 });
  });

  test("revokes newest holds first, of one moment the greatest order id, and no more than it takes", () => {
    const { state, answer } = after([
      [0, reserve("a", 2)],
      [5, reserve("b", 2)],
      [5, reserve("c", 2)],
      [9, adjust("count", -3)],
    ]);
    expect(answer).toMatchObject({ success: { revoked: ["c"] } });
    expect(after([[10, adjust("count", -3)]], state).answer).toEqual(answer);
    expect(["a", "b", "c"].map((name) => state.holds.get(id(name))?.status)).toEqual(["held", "held", "lapsed"]);
    expect(state.skus.get(apple)).toMatchObject({ onHand: 5, held: 4, shortage: 0 });
  });

  test("answers a revoked hold like an expired one, and says why it ended", () => {
    const revoked: ReadonlyArray<readonly [number, StockCommand]> = [
      [0, reserve("a", 8)],
      [1, adjust("fire", -8)],
    ];
    expect(after([...revoked, [2, { _tag: "Commit", orderId: id("a") }]]).answer).toEqual(
      Result.fail({ _tag: "HoldExpired", orderId: "a" }),
    );
    expect(after([...revoked, [2, { _tag: "Release", orderId: id("a") }]]).answer).toMatchObject({ success: { reason: "revoked" } });
    expect(after([...revoked, [2, { _tag: "Expire", orderId: id("a") }]]).answer).toMatchObject({ success: { reason: "revoked" } });
  });

  test("takes a shortage back as stock returns, and lets nobody reserve meanwhile", () => {
    const commit = (name: string): StockCommand => ({ _tag: "Commit", orderId: id(name) });
    const short = after([
      [0, reserve("a", 3)],
      [0, reserve("b", 3)],
      [1, commit("a")],
      [1, commit("b")],
      [2, adjust("fire", -5)],
    ]);
    expect(short.state.skus.get(apple)).toMatchObject({ onHand: 3, committed: 6, shortage: 3 });
    expect(after([[3, reserve("c", 1)]], short.state).answer).toEqual(Result.fail({ _tag: "OutOfStock", orderId: "c", skus: [apple] }));
    const less = after([[3, { _tag: "Release", orderId: id("b") }]], short.state);
    expect(less.state.skus.get(apple)).toMatchObject({ onHand: 3, committed: 3, shortage: 0 });
  });

  test("uses the latest time it has seen when a clock goes back", () => {
    const { state } = after([
      [1_000, reserve("a", 1)],
      [400, reserve("b", 1)],
      [400, { _tag: "Release", orderId: id("a") }],
    ]);
    expect(state.holds.get(id("b"))).toMatchObject({ until: 1_100, at: 1_000 });
    expect(state.holds.get(id("a"))).toMatchObject({ status: "released", at: 1_000 });
  });

  test("keeps stock and ids of adjustments in their bounds", () => {
    const word = (command: StockCommand) =>
      Result.match(after([[0, command]]).answer ?? Result.fail(null), { onSuccess: (it) => it._tag, onFailure: (it) => it?._tag });
    expect(word(adjust("", 1))).toBe("InvalidQuantity");
    expect(word(adjust("x".repeat(IDENTIFIER_MAX + 1), 1))).toBe("InvalidQuantity");
    expect(["\u0000", "a\nb", "\u007f", "\ud800", "\udc00\ud800"].map((name) => word(adjust(name, 1)))).toEqual(
      Array<string>(5).fill("InvalidQuantity"),
    );
    expect(word(adjust("much", STOCK_MAX + 1))).toBe("InvalidQuantity");
    expect(word(adjust("too much", STOCK_MAX))).toBe("InvalidQuantity");
    expect(word(adjust("all", -8))).toBe("Adjusted");
    expect(word(adjust("new", 0, Sku.make("new")))).toBe("Adjusted");
  });

  test("takes nothing but text for a name, and no word that it does not know", () => {
    const word = (command: StockCommand) =>
      Result.match(after([[0, command]]).answer ?? Result.fail(null), { onSuccess: (it) => it._tag, onFailure: (it) => it?._tag });
    expect([5, null, undefined, {}, "", "a b", "a"].map(StockNames.isIdentifier)).toEqual([false, false, false, false, false, false, true]);
    expect([5, "x".repeat(65), "x".repeat(64)].map(StockNames.isShortName)).toEqual([false, false, true]);
    expect(word(reserve("o", 1))).toBe("Reserved");
    const unknown = [
      Object.assign(reserve("o", 1), { policy: "some" }),
      Object.assign(reserve("o", 1), { split: null }),
      Object.assign(adjust("k", 1), { kind: "stolen" }),
    ];
    expect(unknown.map(word)).toEqual(["InvalidQuantity", "InvalidQuantity", "InvalidQuantity"]);
  });

  test("names what commands touch, once each, in key order", () => {
    const both: StockCommand = {
      _tag: "Reserve",
      orderId: id("b"),
      lines: [line("pear", 1), line("apple", 1), line("pear", 1)],
      ttlMillis: 1,
    };
    expect(StockLedger.touches([both, adjust("z", 1), adjust("y", 1, pear), { _tag: "Commit", orderId: id("a") }, both])).toEqual({
      orders: ["a", "b"],
      skus: ["apple", "pear"],
      adjustments: ["y", "z"],
      buyers: [],
    });
  });

  test("names a SKU for revocation only when it may fall short within the batch", () => {
    const { state } = after([[0, reserve("a", 5)]]);
    expect(StockLedger.mayRevoke(state, [adjust("in", 5)])).toEqual([]);
    expect(StockLedger.mayRevoke(state, [adjust("out", -3)])).toEqual([]);
    expect(StockLedger.mayRevoke(state, [adjust("out", -4)])).toEqual([apple]);
    expect(StockLedger.mayRevoke(state, [reserve("b", 1), adjust("out", -3)])).toEqual([apple]);
    expect(StockLedger.mayRevoke(state, [adjust("out", -1, Sku.make("unknown"))])).toEqual(["unknown"]);
  });
});
