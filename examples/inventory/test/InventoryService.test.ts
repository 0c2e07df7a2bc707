import { Effect, Layer, Result } from "effect";
import { describe, expect, it } from "vitest";
import {
  CheckoutMessages as M,
  MemoryDatabase,
  MemoryStores,
  type Message,
  OrderId,
  Quantity,
  Sku,
  type StockBalance,
  type StockCommand,
  StockReservation,
  StoreError,
} from "@org/saga-core";
import { Conversation, Invariants, Simulator } from "@org/saga-core/testing";
import { InventoryMessages, InventoryService } from "@example/inventory";

const mug = Sku.make("mug");
const stock: ReadonlyArray<InventoryService.InitialStock> = [
  { sku: mug, quantity: 10 },
  { sku: Sku.make("sold-out"), quantity: 0 },
];

const service = InventoryService.roles(["relay", "consumer", "worker"]).pipe(Layer.provide(InventoryService.layer(stock)));

const hold = <A, E>(
  script: (talk: Conversation.Talk) => Effect.Effect<A, E, Conversation.Ports>,
  faults = Simulator.noFaults,
  seed = 1,
): A => Conversation.hold({ service, catalogue: InventoryMessages.catalogue, faults, seed }, script);

const order = OrderId.make("order-1");
const asked = (step: string) => ({ stepKey: `${order}:${step}:1`, saga: "checkout@1" });

const reserve = (quantity = 2, sku = "mug", ttlMillis = 60_000): Message.Draft =>
  M.ReserveStock.draft(
    { orderId: order, lines: [{ sku: Sku.make(sku), quantity: Quantity.make(quantity) }], ttlMillis },
    asked("reserve-stock"),
  );
const commit = M.CommitStock.draft({ orderId: order }, asked("commit-stock"));
const release = M.ReleaseStock.draft({ orderId: order }, asked("reserve-stock"));
const ship = M.ShipStock.draft({ orderId: order }, asked("ship-stock"));

const books = (talk: Conversation.Talk, sku = mug): Pick<StockBalance, "onHand" | "held" | "committed"> | undefined => {
  const found = talk.world.stock.skus.get(sku);
  return found === undefined ? undefined : { onHand: found.onHand, held: found.held, committed: found.committed };
};

/** Commands, one after the other, and what is heard in the end. */
const answers: ReadonlyArray<{
  readonly name: string;
  readonly told: ReadonlyArray<Message.Draft>;
  readonly heard: ReadonlyArray<readonly [type: string, step: string]>;
}> = [
  { name: "a reserve is granted", told: [reserve()], heard: [["reserved", "reserve-stock"]] },
  {
    name: "a repeated reserve is granted again",
    told: [reserve(), reserve()],
    heard: [
      ["reserved", "reserve-stock"],
      ["reserved", "reserve-stock"],
    ],
  },
  { name: "a reserve above what is there is rejected", told: [reserve(11)], heard: [["rejected", "reserve-stock"]] },
  { name: "a reserve of what never was there is rejected", told: [reserve(1, "sold-out")], heard: [["rejected", "reserve-stock"]] },
  { name: "a reserve of an unknown SKU is rejected", told: [reserve(1, "unicorn")], heard: [["rejected", "reserve-stock"]] },
  {
    name: "a reserve of other lines is rejected",
    told: [reserve(2), reserve(3)],
    heard: [
      ["reserved", "reserve-stock"],
      ["rejected", "reserve-stock"],
    ],
  },
  {
    name: "a reserve overtaken by its release is rejected",
    told: [release, reserve()],
    heard: [
      ["released", "reserve-stock"],
      ["rejected", "reserve-stock"],
    ],
  },
  {
    name: "a commit of a hold is granted, twice",
    told: [reserve(), commit, commit],
    heard: [
      ["reserved", "reserve-stock"],
      ["committed", "commit-stock"],
      ["committed", "commit-stock"],
    ],
  },
  { name: "a commit without a hold says that it expired", told: [commit], heard: [["hold-expired", "commit-stock"]] },
  {
    name: "a commit after a release says that it expired",
    told: [reserve(), release, commit],
    heard: [
      ["reserved", "reserve-stock"],
      ["released", "reserve-stock"],
      ["hold-expired", "commit-stock"],
    ],
  },
  { name: "a release of nothing is granted, and leaves a tombstone", told: [release], heard: [["released", "reserve-stock"]] },
  {
    name: "a release of a commitment is granted, twice",
    told: [reserve(), commit, release, release],
    heard: [
      ["reserved", "reserve-stock"],
      ["committed", "commit-stock"],
      ["released", "reserve-stock"],
      ["released", "reserve-stock"],
    ],
  },
  {
    name: "a ship is granted, twice, and a release after it is refused for good",
    told: [reserve(), commit, ship, ship, release],
    heard: [
      ["reserved", "reserve-stock"],
      ["committed", "commit-stock"],
      ["shipped", "ship-stock"],
      ["shipped", "ship-stock"],
      ["release-refused", "reserve-stock"],
    ],
  },
  {
    name: "a ship whose commit was lost commits and ships",
    told: [reserve(), ship],
    heard: [
      ["reserved", "reserve-stock"],
      ["shipped", "ship-stock"],
    ],
  },
  { name: "a ship of nothing stays unanswered: it is asked for again", told: [ship], heard: [] },
];

/** Schedules of crashes that a test tries, and how long it may take for that on a busy machine, in milliseconds. */
const SEEDS = 8;
const CRASHES_MS = 60_000;

describe("the inventory service answers", () => {
  it.each(answers)("$name", ({ told, heard }) => {
    hold(
      Effect.fnUntraced(function* (talk) {
        for (const each of told) {
          yield* talk.tell(each);
          yield* talk.wait(300);
        }
        yield* talk.wait(1_000);
        const said = talk.heard().map(({ type, stepKey, saga }) => [type, stepKey, saga]);
        expect(said).toEqual(heard.map(([type, step]) => [`inventory.${type}.v1`, `order-1:${step}:1`, "checkout@1"]));
        const balances = yield* (yield* StockReservation).allBalances;
        expect(Invariants.stockBalances(balances)).toEqual([]);
      }),
    );
  });

  it("a whole batch as it would one after the other, and a duplicate of it with nothing", () => {
    hold(
      Effect.fnUntraced(function* (talk) {
        const messages = yield* talk.tell(reserve(), commit, ship);
        yield* talk.repeat(messages);
        yield* talk.wait(1_000);
        expect(talk.heard().map(({ type }) => type)).toEqual(["inventory.reserved.v1", "inventory.committed.v1", "inventory.shipped.v1"]);
        expect(books(talk)).toEqual({ onHand: 8, held: 0, committed: 0 });
      }),
    );
  });
});

describe("the inventory service", () => {
  it("counts the first day's stock in once, however often it starts", () => {
    const program = Effect.gen(function* () {
      const reservation = yield* StockReservation;
      yield* InventoryService.seed(stock);
      yield* InventoryService.seed(stock);
      return (yield* reservation.balances([mug])).get(mug)?.onHand;
    });
    hold(
      Effect.fnUntraced(function* (talk) {
        yield* talk.wait(100);
        expect(yield* program).toBe(10);
      }),
    );
  });

  it("waits for an engine that comes up later than itself", () => {
    let failures = 3;
    const commands: Array<StockCommand> = [];
    const late: StockReservation["Service"] = {
      execute: (asked) => {
        failures -= 1;
        if (failures >= 0) return Effect.fail(new StoreError({ reason: "Unavailable", operation: "test", message: "not yet" }));
        commands.push(...asked);
        return Effect.succeed(asked.map(() => Result.succeed({ _tag: "Adjusted", sku: mug, onHand: 10, shortage: 0 })));
      },
      balances: () => Effect.succeed(new Map()),
      allBalances: Effect.succeed([]),
      expired: () => Effect.succeed([]),
    };
    const { exit, elapsed } = Simulator.run(
      { seed: 1 },
      Effect.scoped(
        Effect.flatMap(MemoryDatabase.make, (database) =>
          Layer.build(
            InventoryService.layer(stock).pipe(Layer.provide([Layer.succeed(StockReservation, late), MemoryStores.layerOf(database)])),
          ),
        ),
      ),
    );
    expect(exit._tag).toBe("Success");
    expect(commands.map((command) => (command._tag === "Adjust" ? command.id : ""))).toEqual(["seed:mug", "seed:sold-out"]);
    expect(elapsed).toBe(100 + 200 + 400);
  });

  it("rejects a rejected order for good, so that a late or repeated reserve holds nothing (G2)", () => {
    hold(
      Effect.fnUntraced(function* (talk) {
        const messages = yield* talk.tell(reserve(11));
        yield* talk.wait(300);
        yield* (yield* StockReservation).execute([{ _tag: "Adjust", id: "more", sku: mug, delta: 10 }]);
        yield* talk.repeat(messages);
        yield* talk.tell(reserve(11));
        yield* talk.wait(1_000);
        expect(talk.heard().map(({ type }) => type)).toEqual(["inventory.rejected.v1", "inventory.rejected.v1"]);
        expect(books(talk)).toEqual({ onHand: 20, held: 0, committed: 0 });
      }),
    );
  });

  it("returns the stock of a hold whose time is over, and tells of it without a key", () => {
    hold(
      Effect.fnUntraced(function* (talk) {
        yield* talk.tell(reserve(2, "mug", 2_000));
        yield* talk.wait(1_000);
        expect(books(talk)).toEqual({ onHand: 10, held: 2, committed: 0 });
        yield* talk.wait(5_000);
        expect(books(talk)).toEqual({ onHand: 10, held: 0, committed: 0 });
        expect(talk.heard().at(-1)).toMatchObject({ type: "inventory.released.v1", stepKey: null, body: { reason: "expired" } });
      }),
    );
  });

  it(
    "says nothing twice and loses nothing when its process dies again and again (G2, G6)",
    () => {
      const faults: Simulator.Faults = {
        crash: 0.03,
        delay: 0.05,
        delayMaxMillis: 50,
        downMaxMillis: 300,
        until: 1_767_225_600_000 + 10_000,
      };
      for (let seed = 1; seed <= SEEDS; seed++) {
        hold(
          Effect.fnUntraced(function* (talk) {
            yield* talk.wait(5_000);
            for (const each of [reserve(), commit, ship]) {
              yield* talk.tell(each);
              yield* talk.wait(500);
            }
            yield* talk.wait(60_000);
            const byId = new Map(talk.heard().map((message) => [message.id, message.type]));
            expect([...byId.values()]).toEqual(["inventory.reserved.v1", "inventory.committed.v1", "inventory.shipped.v1"]);
            expect(books(talk)).toEqual({ onHand: 8, held: 0, committed: 0 });
          }),
          faults,
          seed,
        );
      }
    },
    CRASHES_MS,
  );
});
