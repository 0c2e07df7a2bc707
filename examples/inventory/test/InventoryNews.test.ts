/** What inventory does and tells beside the saga's commands: requests, and the events that it listens to. */
import { Duration, Effect, Layer, Result, Schedule } from "effect";
import { describe, expect, it } from "vitest";
import { CheckoutMessages as M, type Message, OrderId, OrderStatus, Quantity, Sku, StockReservation } from "@org/saga-core";
import { Conversation, Simulator } from "@org/saga-core/testing";
import { InventoryMessages, InventoryService } from "@example/inventory";

const mug = Sku.make("mug");
const UNITS = 100;
const BUYERS = 10_000;

type Inventory = InventoryService.Inventory["Service"];

/** The living service, to be asked like over HTTP. */
let inventory: Inventory;
const reachable = Layer.effectDiscard(Effect.map(InventoryService.Inventory, (it) => void (inventory = it)));
const service = Layer.merge(InventoryService.roles(["relay", "consumer", "worker"]), reachable).pipe(
  Layer.provide(InventoryService.layer([{ sku: mug, quantity: UNITS }])),
);

const hold = <A, E>(
  script: (talk: Conversation.Talk) => Effect.Effect<A, E, Conversation.Ports>,
  faults = Simulator.noFaults,
  seed = 1,
): A =>
  Conversation.hold({ service, catalogue: InventoryMessages.catalogue, faults, seed }, (talk) =>
    Effect.andThen(talk.wait(100), script(talk)),
  );

const order = OrderId.make("order-1");
const lines = [{ sku: mug, quantity: Quantity.make(2) }];
const TTL_MS = 60_000;
const request = { _tag: "Reserve", lines, ttlMillis: TTL_MS } as const;
const asked = (step: string) => ({ stepKey: `${order}:${step}:1`, saga: "checkout@1" });
const reserve = M.ReserveStock.draft({ orderId: order, lines, ttlMillis: TTL_MS }, asked("reserve-stock"));
const commit = M.CommitStock.draft({ orderId: order }, asked("commit-stock"));
const release = M.ReleaseStock.draft({ orderId: order }, asked("reserve-stock"));
const ship = M.ShipStock.draft({ orderId: order }, asked("ship-stock"));
const authorized = M.PaymentAuthorized.draft({ orderId: order }, asked("authorize-payment"));
const became = (to: OrderStatus.OrderStatus): Message.Draft =>
  M.OrderStatusChanged.draft({ orderId: order, from: "pendingPayment", to, reason: null, at: 0 });

const books = Effect.map(
  Effect.flatMap(StockReservation, (stock) => stock.balances([mug])),
  (all) => {
    const { onHand, held, committed } = all.get(mug) ?? { onHand: 0, held: 0, committed: 0 };
    return { onHand, held, committed };
  },
);

const types = (talk: Conversation.Talk) => talk.heard().map(({ type, stepKey }) => [type, stepKey === null ? "news" : "reply"]);

const told = Effect.fnUntraced(function* (talk: Conversation.Talk, drafts: ReadonlyArray<Message.Draft>) {
  for (const draft of drafts) {
    yield* talk.tell(draft);
    yield* talk.wait(500);
  }
});

describe("an order's status", () => {
  it.each(["canceled", "failed"] as const)("%s gives back what the order holds, and tells so once", (status) => {
    hold(
      Effect.fnUntraced(function* (talk) {
        yield* inventory.ask({ ...request, orderId: order }, null);
        yield* talk.repeat(yield* talk.tell(became(status)));
        yield* told(talk, [became(status), became(status)]);
        expect(yield* books).toEqual({ onHand: UNITS, held: 0, committed: 0 });
        expect(types(talk)).toEqual([
          ["inventory.reserved.v1", "news"],
          ["inventory.released.v1", "news"],
        ]);
      }),
    );
  });

  it("canceled gives back what was promised, and what has left the house stays away", () => {
    hold(
      Effect.fnUntraced(function* (talk) {
        yield* told(talk, [reserve, commit, became("canceled")]);
        expect(yield* books).toEqual({ onHand: UNITS, held: 0, committed: 0 });
      }),
    );
    hold(
      Effect.fnUntraced(function* (talk) {
        yield* told(talk, [reserve, commit, ship, became("canceled")]);
        expect(yield* books).toEqual({ onHand: UNITS - 2, held: 0, committed: 0 });
        expect(types(talk).filter(([, kind]) => kind === "news")).toEqual([]);
      }),
    );
  });

  it("canceled before anything was reserved refuses a reserve that comes late, and there is nothing to tell", () => {
    hold(
      Effect.fnUntraced(function* (talk) {
        yield* told(talk, [became("canceled"), reserve]);
        expect(yield* books).toEqual({ onHand: UNITS, held: 0, committed: 0 });
        expect(types(talk)).toEqual([["inventory.rejected.v1", "reply"]]);
      }),
    );
  });

  it("that the saga has undone the order for is no news, and a saga that asks afterwards is answered", () => {
    hold(
      Effect.fnUntraced(function* (talk) {
        yield* told(talk, [reserve, release, became("canceled"), release]);
        expect(types(talk)).toEqual([
          ["inventory.reserved.v1", "reply"],
          ["inventory.released.v1", "reply"],
          ["inventory.released.v1", "reply"],
        ]);
      }),
    );
  });

  it("of any other kind changes nothing", () => {
    const others = OrderStatus.OrderStatus.literals.filter((status) => status !== "canceled" && status !== "failed");
    hold(
      Effect.fnUntraced(function* (talk) {
        yield* told(talk, [reserve, ...others.map(became)]);
        expect(yield* books).toEqual({ onHand: UNITS, held: 2, committed: 0 });
        expect(types(talk)).toEqual([["inventory.reserved.v1", "reply"]]);
      }),
    );
  });
});

describe("an authorized payment", () => {
  it("keeps the hold alive, so that a late commit is granted", () => {
    hold(
      Effect.fnUntraced(function* (talk) {
        yield* told(talk, [reserve, authorized]);
        yield* talk.wait(2 * TTL_MS);
        expect(yield* books).toEqual({ onHand: UNITS, held: 2, committed: 0 });
        yield* told(talk, [commit, authorized]);
        expect(yield* books).toEqual({ onHand: UNITS, held: 0, committed: 2 });
        expect(types(talk).map(([type]) => type)).toEqual(["inventory.reserved.v1", "inventory.committed.v1"]);
      }),
    );
  });

  it("does not bring a hold back that has ended, and asks nothing of an order without one", () => {
    hold(
      Effect.fnUntraced(function* (talk) {
        yield* told(talk, [authorized, reserve]);
        yield* talk.wait(2 * TTL_MS);
        yield* told(talk, [authorized]);
        expect(yield* books).toEqual({ onHand: UNITS, held: 0, committed: 0 });
      }),
    );
  });
});

describe("a request", () => {
  it("is told to the world once, however often it is asked", () => {
    hold(
      Effect.fnUntraced(function* (talk) {
        const adjust = { _tag: "Adjust", id: "delivery-7", sku: mug, delta: 5, kind: "receive" } as const;
        for (const command of [{ ...request, orderId: order }, adjust, { _tag: "Release", orderId: order }] as const) {
          const first = yield* inventory.ask(command, null);
          expect(yield* inventory.ask(command, null)).toEqual(first);
          yield* talk.wait(500);
        }
        yield* told(talk, [release]);
        expect(types(talk)).toEqual([
          ["inventory.reserved.v1", "news"],
          ["inventory.adjusted.v1", "news"],
          ["inventory.released.v1", "news"],
          ["inventory.released.v1", "reply"],
        ]);
        expect(talk.heard()[1]?.body).toEqual({
          ...{ adjustmentId: "delivery-7", sku: mug, warehouse: "main", delta: 5, kind: "receive", onHand: UNITS + 5, shortage: 0 },
        });
      }),
    );
  });

  it("that counts less than was promised tells at once of every hold that it revokes, once, and the order's commit is refused", () => {
    hold(
      Effect.fnUntraced(function* (talk) {
        const other = OrderId.make("order-2");
        for (const orderId of [other, order]) {
          yield* inventory.ask({ ...request, orderId }, null);
          yield* talk.wait(500);
        }
        const count = { _tag: "Adjust", id: "count-7", sku: mug, delta: -UNITS } as const;
        const first = yield* inventory.ask(count, null);
        expect(Result.getOrThrow(first)).toMatchObject({ onHand: 0, shortage: 0, revoked: [order, other] });
        expect(yield* inventory.ask(count, null)).toEqual(first);
        yield* talk.wait(500);
        const revoked = talk.heard().filter(({ type }) => type === "inventory.released.v1");
        expect(revoked).toHaveLength(2);
        expect(new Map(revoked.map(({ body, correlationId }) => [correlationId, body]))).toEqual(
          new Map([order, other].map((orderId) => [orderId, { orderId, reason: "revoked" }])),
        );
        yield* told(talk, [commit, release, became("canceled")]);
        yield* inventory.ask({ _tag: "Release", orderId: other }, null);
        yield* talk.wait(2 * TTL_MS);
        const heard = types(talk).map(([type, kind]) => `${type} ${kind}`);
        // Those of different orders, in any order.
        expect(heard.slice(2, 5).toSorted()).toEqual([
          "inventory.adjusted.v1 news",
          "inventory.released.v1 news",
          "inventory.released.v1 news",
        ]);
        expect(heard.slice(5)).toEqual(["inventory.hold-expired.v1 reply", "inventory.released.v1 reply"]);
        expect(yield* books).toEqual({ onHand: 0, held: 0, committed: 0 });
      }),
    );
  });

  it("belongs to the trace of its caller", () => {
    const traceparent = `00-${"a".repeat(32)}-${"b".repeat(16)}-01`;
    hold(
      Effect.fnUntraced(function* (talk) {
        yield* inventory.reserveFirst(request, traceparent);
        yield* talk.wait(500);
        expect(talk.heard()).toMatchObject([{ type: "inventory.reserved.v1", traceparent, causationId: null }]);
      }),
    );
  });

  it("that was refused is no news, and may be asked again", () => {
    hold(
      Effect.fnUntraced(function* (talk) {
        const many = { ...request, orderId: order, lines: [{ sku: mug, quantity: Quantity.make(UNITS + 1) }] };
        expect(Result.isFailure(yield* inventory.ask(many, null))).toBe(true);
        yield* inventory.ask({ _tag: "Adjust", id: "more", sku: mug, delta: 1 }, null);
        expect(Result.isSuccess(yield* inventory.ask(many, null))).toBe(true);
        yield* talk.wait(500);
        expect(types(talk).map(([type]) => type)).toEqual(["inventory.adjusted.v1", "inventory.reserved.v1"]);
      }),
    );
  });

  it("that is repeated until it is answered is told once, though the process dies again and again", () => {
    const faults: Simulator.Faults = {
      crash: 0.05,
      delay: 0.05,
      delayMaxMillis: 50,
      downMaxMillis: 300,
      until: 1_767_225_600_000 + 20_000,
    };
    for (let seed = 1; seed <= SEEDS; seed++) {
      hold(
        Effect.fnUntraced(function* (talk) {
          const answer = Effect.suspend(() => inventory.ask({ ...request, orderId: order }, null)).pipe(
            Effect.timeout(Duration.millis(300)),
            Effect.retry(Schedule.spaced(Duration.millis(50))),
          );
          expect(Result.isSuccess(yield* answer)).toBe(true);
          yield* talk.wait(30_000);
          yield* answer;
          yield* talk.wait(5_000);
          const ids = new Set(talk.heard().flatMap(({ id, type }) => (type === "inventory.reserved.v1" ? [id] : [])));
          expect(ids.size).toBe(1);
        }),
        faults,
        seed,
      );
    }
  });
});

/** Schedules of crashes that a test tries. */
const SEEDS = 8;

describe("a sale", () => {
  it(`of ${UNITS} units to ${BUYERS} buyers at once: the first ${UNITS} win, the others hear OutOfStock, until stock returns`, () => {
    hold(
      Effect.fnUntraced(function* (talk) {
        const one = { ...request, lines: [{ sku: mug, quantity: Quantity.make(1) }] };
        const answers = yield* Effect.forEach(Array.from({ length: BUYERS }), () => inventory.reserveFirst(one, null), {
          concurrency: "unbounded",
        });
        const words = answers.map((said) => (Result.isSuccess(said) ? said.success._tag : said.failure._tag));
        expect(words.slice(0, UNITS)).toEqual(Array.from({ length: UNITS }, () => "Reserved"));
        expect(new Set(words.slice(UNITS))).toEqual(new Set(["OutOfStock"]));
        expect(yield* books).toEqual({ onHand: UNITS, held: UNITS, committed: 0 });
        yield* talk.wait(1_000);
        const reserved = talk.heard().flatMap(({ type, key }) => (type === "inventory.reserved.v1" ? [key] : []));
        expect(reserved.length).toBe(UNITS);
        expect(new Set(reserved).size).toBe(UNITS);
        // By message: whatever gives stock back here ends the mark, before it lapses.
        const [winner = ""] = reserved;
        expect(Result.isFailure(yield* inventory.reserveFirst(one, null))).toBe(true);
        yield* talk.tell(
          M.OrderStatusChanged.draft({ orderId: OrderId.make(winner), from: "created", to: "canceled", reason: null, at: 0 }),
        );
        yield* talk.wait(100);
        expect(Result.isSuccess(yield* inventory.reserveFirst(one, null))).toBe(true);
      }),
    );
  });
});
