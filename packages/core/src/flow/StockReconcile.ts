/**
 * Compares whatever knows of stock: the ledger's books with its records, the log that serves in front of it, and, where they can be
 * asked, the orders that the goods are for. Names each difference with its cause, and repairs it if told to.
 *
 * - The ledger is looked at in one moment: nothing in it is in flight. Log and orders go on meanwhile: there only counts what
 *   differs twice, `settleMillis` apart, and orders that have been what they are for `ORDER_SETTLE_MS`.
 * - One finding, one transaction, and it is checked again inside it. What a decision can mend is decided (`StockBooks.execute`: who
 *   serves is compared, and the log is told); books are made to fit their records under their lock, and the
 *   correction is recorded as an adjustment; a log that is out of step is replaced by a new generation, from the ledger.
 * - Any number may run at once, beside everything else: each repair is idempotent.
 *
 * It never decides what only a person can: goods that are paid for and not there stay a finding, and so do holds whose records
 * cannot be read, with the books that they may be the reason of. Such a finding says what to do.
 */
import { Duration, Effect, type Layer, Result, type Scope } from "effect";
import type { OrderId } from "../domain/order/OrderId.ts";
import type { Sku, StockLine } from "../domain/stock/Sku.ts";
import type { StockCommand } from "../domain/stock/StockCommand.ts";
import * as StockDrift from "../domain/stock/StockDrift.ts";
import type { Hold, HoldStatus } from "../domain/stock/StockState.ts";
import { StockAudit } from "../ports/StockAudit.ts";
import { StockBooks, type StockServing } from "../ports/StockBooks.ts";
import { StockLog } from "../ports/StockLog.ts";
import type { StoreError } from "../ports/StoreError.ts";
import * as HybridStockShard from "./HybridStockShard.ts";
import * as HybridStockTeller from "./HybridStockTeller.ts";
import * as StockReconcileGauges from "./StockReconcileGauges.ts";
import * as Worker from "./Worker.ts";

/** What an order should have of the stock by now, as its own service knows it. */
export interface Claim {
  readonly orderId: OrderId;
  /** `Nothing`: it is over; `Goods`: paid, so promised or on their way; `Shipment`: they have left. */
  readonly should: "Nothing" | "Goods" | "Shipment";
  readonly lines: ReadonlyArray<StockLine>;
  /** The order's status, for the report. */
  readonly status: string;
}

/**
 * The orders' side. Only of orders that have been what they are for `ORDER_SETTLE_MS`; of others, and of those in the middle
 * of their checkout, there is nothing to say.
 */
export interface Claims<E = StoreError> {
  /** Of these orders. */
  readonly of: (orders: ReadonlyArray<OrderId>) => Effect.Effect<ReadonlyMap<OrderId, Claim>, E>;
  /** Of all that should have goods, and may have none. */
  readonly owed: Effect.Effect<ReadonlyArray<Claim>, E>;
}

/** How long an order's last change has to be ago, in milliseconds: its messages have arrived, or are tried for longer than a person waits. */
export const ORDER_SETTLE_MS = 60_000;

/** Between two looks, in milliseconds: above what a hold needs to the ledger, and a note to the log. */
export const SETTLE_MS = 5_000;

/** Rest between two looks of the worker, in milliseconds: one looks at all holds and adjustments. */
export const MEASURE_EVERY_MS = 300_000;

/** How long goods are held between two commands of one repair, in milliseconds. */
const REPAIR_TTL_MS = 60_000;

/** Between orders and holds. */
export type OrderDrift =
  /** It is over, and has goods all the same. */
  | { readonly _tag: "Unclaimed"; readonly claim: Claim; readonly hold: HoldStatus }
  /** It should have goods, and has not; null: no hold at all. */
  | { readonly _tag: "Unmet"; readonly claim: Claim; readonly hold: HoldStatus | null };

export type Drift = StockDrift.LedgerDrift | StockDrift.LogDrift | OrderDrift;

export interface Finding {
  readonly drift: Drift;
  readonly cause: string;
  /** `Found`: it was not to be repaired. `Gone`: when it was looked at again. `Refused`: a person has to look. */
  readonly outcome: "Found" | "Repaired" | "Gone" | "Refused";
  /** What a person has to do before it can be repaired; null: nothing, or what is up to the order. */
  readonly advice: string | null;
}

export interface Options<E> {
  readonly repair: boolean;
  /** The log, if one may serve. Without it, it is not compared. */
  readonly log: StockLog["Service"] | null;
  /** The orders, if they can be asked. */
  readonly claims: Claims<E> | null;
  readonly settleMillis?: number;
}

export const run = Effect.fn("StockReconcile.run")(function* <E = never>({
  repair,
  log,
  claims,
  settleMillis = SETTLE_MS,
}: Options<E>): Effect.fn.Return<ReadonlyArray<Finding>, StoreError | E, StockAudit | StockBooks> {
  const audit = yield* StockAudit;
  const serving = yield* (yield* StockBooks).serving;
  const look = Effect.gen(function* () {
    const ofLog = log === null || serving.server === null ? [] : yield* logDrifts(serving, log);
    return [...ofLog, ...(claims === null ? [] : yield* orderDrifts(claims))];
  });
  const ofLedger = StockDrift.ofLedger(yield* audit.take);
  const first = yield* look;
  if (first.length > 0) yield* Effect.sleep(Duration.millis(settleMillis));
  const again = new Set(first.length === 0 ? [] : (yield* look).map(keyOf));
  const drifts: ReadonlyArray<Drift> = [...ofLedger, ...first.filter((drift) => again.has(keyOf(drift)))];
  yield* StockReconcileGauges.measure(drifts);
  if (!repair) return drifts.map((drift) => findingOf(drift, "Found"));
  return yield* repairAll(drifts, serving, log);
});

/** Compares ledger and log every few minutes, for the gauges; repairs nothing. */
export const layerWith = (options: Pick<Options<never>, "log">): Layer.Layer<never, never, StockAudit | StockBooks> =>
  Worker.layer(
    "StockReconcile",
    Effect.andThen(run({ ...options, repair: false, claims: null }), Effect.sleep(Duration.millis(MEASURE_EVERY_MS))),
  );

export const causeOf = (drift: Drift): string => {
  if (drift._tag === "Unclaimed") {
    const { claim, hold } = drift;
    return `order ${claim.orderId} is ${claim.status}, and its goods are ${hold} all the same: the release was lost, or decided without the order`;
  }
  if (drift._tag !== "Unmet") return StockDrift.causeOf(drift);
  const { claim, hold } = drift;
  const should = claim.should === "Goods" ? "should have goods" : "should have had its goods shipped";
  return `order ${claim.orderId} is ${claim.status} and ${should}, its hold is ${hold ?? "not there"}: ${hold === null ? "the ledger has lost it" : "a decision about it was lost"}`;
};

const findingOf = (drift: Drift, outcome: Finding["outcome"]): Finding => ({
  drift,
  cause: causeOf(drift),
  outcome,
  advice: adviceOf(drift, outcome),
});

const adviceOf = (drift: Drift, outcome: Finding["outcome"]): string | null => {
  if (drift._tag === "Unreadable") {
    return `write what order ${drift.orderId} had into stock_holds (lines: [{"sku", "quantity"}], and "warehouse" if it is not the default one), or, if the order is over, make it released, asked, without lines; then reconcile again`;
  }
  return outcome === "Refused" && (drift._tag === "Books" || drift._tag === "Buyer")
    ? "mend the holds that cannot be read: one of them may be what differs; then reconcile again"
    : null;
};

/** The same drift at another look. */
const keyOf = (drift: Drift): string => JSON.stringify(drift);

const logDrifts = Effect.fnUntraced(function* (
  serving: StockServing,
  log: StockLog["Service"],
): Effect.fn.Return<ReadonlyArray<StockDrift.LogDrift>, StoreError, StockAudit> {
  const audit = yield* StockAudit;
  const { generation } = serving;
  const server = yield* log.server;
  const isOther = server.runId !== serving.server?.runId || server.replicationId !== serving.server.replicationId;
  const live = isOther ? null : yield* log.read(HybridStockShard.SHARD, generation);
  if (live === null) return [{ _tag: "LogLost", generation }];
  // It moves on: a copy of what is needed of it.
  const view = { skus: new Map(live.skus), holds: new Map(live.holds) };
  const known = yield* audit.holds([]);
  const others = [...view.holds.values()].flatMap((hold) =>
    StockDrift.isLive(hold) && !known.holds.has(hold.orderId) ? [hold.orderId] : [],
  );
  const { holds, unreadable } = others.length === 0 ? known : yield* audit.holds(others);
  const damaged = namesOf(unreadable);
  for (const orderId of view.holds.keys()) if (damaged.has(orderId)) view.holds.delete(orderId);
  const { skus } = yield* audit.take;
  return StockDrift.ofLog({ skus, holds }, view);
});

/** They are a finding of their own: nothing else is said about them. */
const namesOf = (unreadable: ReadonlyArray<StockDrift.Unreadable>): ReadonlySet<string> =>
  new Set(unreadable.map(({ orderId }) => orderId));

/** Orders of one question. */
const CLAIMS_MAX = 500;

const orderDrifts = Effect.fnUntraced(function* <E>(
  claims: Claims<E>,
): Effect.fn.Return<ReadonlyArray<OrderDrift>, StoreError | E, StockAudit> {
  const audit = yield* StockAudit;
  const known = new Map((yield* claims.owed).map((claim) => [claim.orderId, claim]));
  const { holds, unreadable } = yield* audit.holds([...known.keys()]);
  const damaged = namesOf(unreadable);
  const live = [...holds.values()].flatMap((hold) => (StockDrift.isLive(hold) && !known.has(hold.orderId) ? [hold.orderId] : []));
  for (let at = 0; at < live.length; at += CLAIMS_MAX) {
    for (const [orderId, claim] of yield* claims.of(live.slice(at, at + CLAIMS_MAX))) known.set(orderId, claim);
  }
  return [...known.values()].flatMap((claim) => (damaged.has(claim.orderId) ? [] : driftOf(claim, holds.get(claim.orderId))));
});

const driftOf = (claim: Claim, hold: Hold | undefined): ReadonlyArray<OrderDrift> => {
  const has = hold?.status ?? null;
  switch (claim.should) {
    case "Nothing":
      return hold !== undefined && StockDrift.isLive(hold) ? [{ _tag: "Unclaimed", claim, hold: hold.status }] : [];
    case "Goods":
      return has === "committed" || has === "shipped" ? [] : [{ _tag: "Unmet", claim, hold: has }];
    case "Shipment":
      return has === "shipped" ? [] : [{ _tag: "Unmet", claim, hold: has }];
  }
};

/** Books first, so that holds find them right; then holds and orders; the log last, with all that came of it. */
const repairAll = Effect.fnUntraced(function* (
  drifts: ReadonlyArray<Drift>,
  serving: StockServing,
  log: StockLog["Service"] | null,
): Effect.fn.Return<ReadonlyArray<Finding>, StoreError, StockAudit | StockBooks | Scope.Scope> {
  const audit = yield* StockAudit;
  const front = log === null || serving.server === null ? null : yield* Effect.provideService(frontOf, StockLog, log);
  const outcomes = new Map<Drift, Finding["outcome"]>();
  const corrected = new Map<Sku, Finding["outcome"]>();
  let isLogBehind = false;
  for (const drift of drifts) if (drift._tag === "Unreadable") outcomes.set(drift, "Refused");
  for (const drift of drifts) {
    if (drift._tag !== "Books" && drift._tag !== "Buyer") continue;
    const outcome = corrected.get(drift.sku) ?? CORRECTIONS[yield* audit.correct(drift.sku)];
    corrected.set(drift.sku, outcome);
    outcomes.set(drift, outcome);
    isLogBehind ||= outcome === "Repaired";
  }
  for (const drift of drifts) {
    if (drift._tag !== "Unjournaled" && drift._tag !== "Unclaimed" && drift._tag !== "Unmet") continue;
    outcomes.set(drift, yield* decide(drift, front));
    // What the ledger reserves, it tells to nobody.
    isLogBehind ||= drift._tag === "Unmet" && drift.hold === null;
  }
  const ofLog = drifts.filter(({ _tag }) => _tag === "LogLost" || _tag === "LogHold" || _tag === "LogBooks");
  if (front !== null && (isLogBehind || ofLog.length > 0)) {
    yield* front.shard.renew(serving, "it was reconciled");
    const now = yield* (yield* StockBooks).serving;
    for (const drift of ofLog) outcomes.set(drift, now.generation === serving.generation ? "Refused" : "Repaired");
  }
  return drifts.map((drift) => findingOf(drift, outcomes.get(drift) ?? "Found"));
}, Effect.scoped);

const CORRECTIONS = { Corrected: "Repaired", Fitting: "Gone", Doubtful: "Refused" } as const;

/** The log in front, as engines speak to it. */
interface Front {
  readonly shard: HybridStockShard.Shard;
  readonly teller: HybridStockTeller.Teller;
}

const frontOf: Effect.Effect<Front, never, StockBooks | StockLog | Scope.Scope> = Effect.gen(function* () {
  const shard = yield* HybridStockShard.make;
  return { shard, teller: yield* HybridStockTeller.make(shard) };
});

const decide = Effect.fnUntraced(function* (
  drift: Extract<Drift, { _tag: "Unjournaled" | "Unclaimed" | "Unmet" }>,
  front: Front | null,
): Effect.fn.Return<Finding["outcome"], StoreError, StockBooks> {
  const books = yield* StockBooks;
  const holds = drift._tag === "Unjournaled" ? [drift.hold] : [];
  const commands = drift._tag === "Unjournaled" ? [] : remedyOf(drift);
  if (holds.length + commands.length === 0) return "Refused";
  for (;;) {
    const serving = yield* books.serving;
    const verdict = yield* books.execute(serving.generation, { holds, commands });
    if (verdict._tag === "Ended") continue;
    if (front !== null) yield* front.teller.heed(serving, verdict);
    return verdict.answers.every(Result.isSuccess) && !verdict.keepings.includes("Refused") ? "Repaired" : "Refused";
  }
});

/** None: what was given back on request is not taken again without one. */
const remedyOf = (drift: OrderDrift): ReadonlyArray<StockCommand> => {
  const { orderId, lines, should } = drift.claim;
  if (drift._tag === "Unclaimed") return [{ _tag: "Release", orderId }];
  const ship: ReadonlyArray<StockCommand> = should === "Shipment" ? [{ _tag: "Ship", orderId }] : [];
  switch (drift.hold) {
    case null:
      return [{ _tag: "Reserve", orderId, lines, ttlMillis: REPAIR_TTL_MS }, { _tag: "Commit", orderId }, ...ship];
    case "held":
    case "lapsed":
      return [{ _tag: "Commit", orderId }, ...ship];
    case "committed":
      return ship;
    case "released":
    case "shipped":
      return [];
  }
};
