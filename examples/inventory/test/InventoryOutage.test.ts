/** Requests whose news cannot be committed, or for which there is no room: no units are left without an owner. */
import { Effect, Exit, Fiber, Latch, Layer, Result } from "effect";
import { describe, expect, it } from "vitest";
import { CheckoutMessages as M, OrderId, Quantity, Sku, StockReservation, StoreError, UnitOfWork, Worker } from "@org/saga-core";
import { Conversation, Simulator } from "@org/saga-core/testing";
import { InventoryMessages, InventoryService } from "@example/inventory";

const mug = Sku.make("mug");
const order = OrderId.make("order-1");
const lines = [{ sku: mug, quantity: Quantity.make(2) }];
const TTL_MS = 600_000;
const request = { _tag: "Reserve", lines, ttlMillis: TTL_MS } as const;
const reserve = { ...request, orderId: order };
const release = { _tag: "Release", orderId: order } as const;

/** Longer than a commit is tried again. */
const OUTAGE_MS = 60_000;

/** A living service with room for one request. */
interface Patient {
  readonly inventory: InventoryService.Inventory["Service"];
  /** Closed: commits of news wait. */
  readonly gate: Latch.Latch;
  /** What commits of news fail with. */
  commits: StoreError["reason"] | null;
  /** What releases fail with. */
  releases: StoreError["reason"] | null;
}

const failing = (reason: StoreError["reason"] | null) =>
  reason === null ? Effect.void : Effect.fail(new StoreError({ reason, operation: "test", message: "away" }));

const hold = <A, E>(script: (patient: Patient, talk: Conversation.Talk) => Effect.Effect<A, E, Conversation.Ports>): A => {
  const state: Omit<Patient, "inventory"> = { gate: Latch.makeUnsafe(true), commits: null, releases: null };
  let living: Patient | null = null;
  const unitOfWork = Layer.effect(
    UnitOfWork,
    Effect.map(UnitOfWork, (real): UnitOfWork["Service"] => ({
      ...real,
      commit: (body) =>
        state.gate.await.pipe(Effect.andThen(Effect.suspend(() => failing(state.commits))), Effect.andThen(real.commit(body))),
    })),
  );
  const stock = Layer.effect(
    StockReservation,
    Effect.map(StockReservation, (real): StockReservation["Service"] => ({
      ...real,
      execute: (commands) =>
        Effect.andThen(
          Effect.suspend(() => (commands.some(({ _tag }) => _tag === "Release") ? failing(state.releases) : Effect.void)),
          real.execute(commands),
        ),
    })),
  );
  const reachable = Layer.effectDiscard(
    Effect.map(InventoryService.Inventory, (inventory) => void (living = Object.assign(state, { inventory }))),
  );
  const inventory = InventoryService.layer([{ sku: mug, quantity: 10 }], { capacity: 1 }).pipe(Layer.provide([unitOfWork, stock]));
  const service = Layer.merge(InventoryService.roles(["relay", "consumer", "worker"]), reachable).pipe(Layer.provide(inventory));
  return Conversation.hold({ service, catalogue: InventoryMessages.catalogue, faults: Simulator.noFaults }, (talk) =>
    Effect.gen(function* () {
      yield* talk.wait(100);
      return yield* living === null ? Effect.die("it does not live") : script(living, talk);
    }),
  );
};

const held = (talk: Conversation.Talk) => talk.world.stock.skus.get(mug)?.held;
const told = (talk: Conversation.Talk) => talk.heard().map(({ type, stepKey }) => [type, stepKey === null ? "news" : "reply"]);

describe("a request for which there is no room", () => {
  it("is refused before the stock is touched, with and without an id", () => {
    hold(
      Effect.fnUntraced(function* (patient, talk) {
        const { inventory, gate } = patient;
        gate.closeUnsafe();
        const first = yield* Effect.forkChild(inventory.reserveFirst(request, null));
        yield* talk.wait(1_000);
        expect(held(talk)).toBe(2);
        for (const refused of [inventory.reserveFirst(request, null), inventory.ask(reserve, null)]) {
          expect(yield* Effect.flip(Effect.timeout(refused, 1_000))).toMatchObject({ _tag: "MailboxFull" });
        }
        expect(held(talk)).toBe(2);
        gate.openUnsafe();
        expect(Result.isSuccess(yield* Fiber.join(first))).toBe(true);
        expect(Result.isSuccess(yield* inventory.ask(reserve, null))).toBe(true);
      }),
    );
  });
});

describe("a request whose news cannot be committed", () => {
  it.each(["Unavailable", "Unknown"] as const)("without an id gives back what it took (%s), though not at once", (reason) => {
    hold(
      Effect.fnUntraced(function* (patient, talk) {
        const { inventory } = patient;
        patient.commits = reason;
        patient.releases = "Unavailable";
        expect(Exit.isFailure(yield* Effect.exit(inventory.reserveFirst(request, null)))).toBe(true);
        yield* talk.wait(OUTAGE_MS);
        expect(held(talk)).toBe(2);
        // Nobody takes more of what has no owner.
        expect(yield* Effect.flip(inventory.reserveFirst(request, null))).toMatchObject({ _tag: "MailboxFull" });
        patient.releases = null;
        yield* talk.wait(Worker.PAUSE_MAX_MS);
        expect(held(talk)).toBe(0);
        patient.commits = null;
        yield* talk.wait(OUTAGE_MS);
        expect(told(talk)).toEqual([["inventory.released.v1", "news"]]);
        expect(Result.isSuccess(yield* inventory.reserveFirst(request, null))).toBe(true);
      }),
    );
  });

  it("and whose caller went away without an id gives back what it took", () => {
    hold(
      Effect.fnUntraced(function* (patient, talk) {
        const { inventory, gate } = patient;
        gate.closeUnsafe();
        const caller = yield* Effect.forkChild(inventory.reserveFirst(request, null));
        yield* talk.wait(1_000);
        expect(held(talk)).toBe(2);
        yield* Fiber.interrupt(caller);
        yield* talk.wait(1_000);
        expect(held(talk)).toBe(0);
      }),
    );
  });

  it("under an id has an outcome that is not known; repeated, it is answered and told once", () => {
    hold(
      Effect.fnUntraced(function* (patient, talk) {
        const { inventory } = patient;
        const adjust = { _tag: "Adjust", id: "delivery", sku: mug, delta: 1 } as const;
        for (const command of [reserve, adjust, release]) {
          patient.commits = "Unavailable";
          expect(yield* Effect.flip(inventory.ask(command, null))).toMatchObject({ _tag: "StoreError", reason: "Unknown" });
          patient.commits = null;
          expect(Result.isSuccess(yield* inventory.ask(command, null))).toBe(true);
          yield* inventory.ask(command, null);
          yield* talk.wait(1_000);
        }
        expect(told(talk)).toEqual([
          ["inventory.reserved.v1", "news"],
          ["inventory.adjusted.v1", "news"],
          ["inventory.released.v1", "news"],
        ]);
      }),
    );
  });
});

describe("a hold that expired", () => {
  const asked = (step: string) => ({ stepKey: `${order}:${step}:1`, saga: "checkout@1" });
  const reasons = (talk: Conversation.Talk) => talk.heard().flatMap(({ type, body }) => (type === "inventory.released.v1" ? [body] : []));

  it("is told of once: by the sweeper, and not again to whoever asks for its release", () => {
    hold(
      Effect.fnUntraced(function* ({ inventory }, talk) {
        yield* inventory.ask(reserve, null);
        yield* talk.wait(TTL_MS + 5_000);
        expect(reasons(talk)).toEqual([{ orderId: order, reason: "expired" }]);
        expect(yield* inventory.ask(release, null)).toMatchObject({ success: { reason: "expired" } });
        yield* talk.wait(1_000);
        expect(reasons(talk)).toHaveLength(1);
      }),
    );
  });

  it("and was committed late, with fresh stock, is told of again when that is given back", () => {
    hold(
      Effect.fnUntraced(function* ({ inventory }, talk) {
        yield* inventory.ask(reserve, null);
        yield* talk.wait(TTL_MS + 5_000);
        yield* talk.tell(M.CommitStock.draft({ orderId: order }, asked("commit-stock")));
        yield* talk.wait(1_000);
        yield* inventory.ask(release, null);
        yield* inventory.ask(release, null);
        yield* talk.wait(1_000);
        expect(reasons(talk)).toEqual([
          { orderId: order, reason: "expired" },
          { orderId: order, reason: "asked" },
        ]);
      }),
    );
  });
});
