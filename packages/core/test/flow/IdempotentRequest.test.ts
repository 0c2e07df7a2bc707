import { Effect, Result } from "effect";
import { describe, expect, it } from "vitest";
import { Aggregate, Checkout, CommandHandler, IdempotencyKeys, IdempotentRequest, OrderId, SagaRunner, UnitOfWork } from "@org/saga-core";
import { orderId, place } from "../domain/Fixtures.ts";
import { simulate } from "./Harness.ts";

const aggregate = SagaRunner.make(Checkout.make());
const run = CommandHandler.runBatch(aggregate);

const keyOf = (key: string, fingerprint = "f") => ({ scope: "customer-1", key, fingerprint });

const placing = (key: string, id: OrderId = orderId, fingerprint = "f") =>
  Aggregate.request<SagaRunner.Command>(id, (now) => place({ id, now }), { idempotency: keyOf(key, fingerprint) });

const told = (handled: CommandHandler.Handled<SagaRunner.Answer> | null | undefined): unknown =>
  handled?._tag === "Answered" && handled.answer !== null && Result.isSuccess(handled.answer)
    ? [handled.answer.success.id, handled.repeated]
    : (handled?._tag ?? handled);

/** Keys of which some are held by a transaction elsewhere. */
const withHeld = (held: ReadonlySet<string>) =>
  Effect.map(IdempotencyKeys, (intact): IdempotencyKeys["Service"] => ({
    ...intact,
    claim: (keys) =>
      Effect.map(intact.claim(keys.filter(({ key }) => !held.has(key))), (verdicts) => {
        const others = verdicts.values();
        return keys.map(({ key }) => (held.has(key) ? { _tag: "InFlight" as const } : (others.next().value ?? { _tag: "New" as const })));
      }),
  }));

describe("a request whose first one is in flight elsewhere", () => {
  it("does nothing, and its neighbours of the batch go on", () => {
    simulate(({ database }) =>
      Effect.gen(function* () {
        const keys = yield* withHeld(new Set(["held"]));
        const other = OrderId.make("order-2");
        const batch = [placing("held"), placing("free", other), placing("held"), placing("held", orderId, "another")];
        const outcomes = yield* run(batch).pipe(Effect.provideService(IdempotencyKeys, keys));
        expect(outcomes.map(told)).toEqual(["InFlight", [other, false], "InFlight", "InFlight"]);
        expect([...database.orders.committed.keys()]).toEqual([other]);
        // It ended without a commit: now the key is free, and one of the three gets it.
        expect((yield* run(batch)).map(told)).toEqual([[orderId, false], [other, true], [orderId, true], "KeyReused"]);
      }),
    );
  });

  it("asks again for about a second, and then is told so", () => {
    simulate(() =>
      Effect.gen(function* () {
        const started = yield* Effect.clockWith((clock) => clock.currentTimeMillis);
        let asked = 0;
        const ask = (until: number) =>
          Effect.sync((): CommandHandler.Handled<string> => {
            asked += 1;
            return asked < until ? { _tag: "InFlight" } : { _tag: "Answered", answer: "done", repeated: true };
          });
        expect(yield* IdempotentRequest.settled(ask(5))).toEqual({ _tag: "Answered", answer: "done", repeated: true });
        expect(asked).toBe(5);
        expect(yield* IdempotentRequest.settled(ask(Number.POSITIVE_INFINITY))).toEqual({ _tag: "InFlight" });
        const took = (yield* Effect.clockWith((clock) => clock.currentTimeMillis)) - started;
        expect(took).toBeGreaterThanOrEqual(IdempotentRequest.WAIT_MS);
        expect(took).toBeLessThan(2 * IdempotentRequest.WAIT_MS);
      }),
    );
  });
});

describe("the record of a key", () => {
  it("is what its request was answered; looking claims nothing", () => {
    simulate(({ database }) =>
      Effect.gen(function* () {
        const recorded = (key: string, fingerprint?: string) =>
          Effect.map(IdempotentRequest.recorded(aggregate, keyOf(key, fingerprint)), told);
        expect(yield* recorded("key-1")).toBe(null);
        expect(database.idempotencyKeys.committed.size).toBe(0);
        yield* run([placing("key-1")]);
        expect(yield* recorded("key-1")).toEqual([orderId, true]);
        expect(yield* recorded("key-1", "another")).toBe("KeyReused");
        const keys = yield* withHeld(new Set(["key-2"]));
        expect(yield* recorded("key-2").pipe(Effect.provideService(IdempotencyKeys, keys))).toBe("InFlight");
      }),
    );
  });

  it("cannot be looked at inside of another commit", () => {
    simulate(() =>
      Effect.gen(function* () {
        const unit = yield* UnitOfWork;
        const nested = unit.commit(IdempotentRequest.recorded(aggregate, keyOf("key-1")));
        expect(yield* Effect.flip(nested)).toMatchObject({ reason: "Misuse", message: "commits are not nested" });
      }),
    );
  });
});
