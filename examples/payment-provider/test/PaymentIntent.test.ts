import { CustomerId, Money, OrderId } from "@org/saga-core";
import { assert, describe, it } from "@effect/vitest";
import { Result } from "effect";
import fc from "fast-check";
import { PaymentIntent, PaymentMethod } from "../src/index.ts";

const reference = "order-1";
const terms = (paymentMethod: string = PaymentMethod.SUCCESS): PaymentIntent.Terms => ({
  orderId: OrderId.make(reference),
  customerId: CustomerId.make("alice"),
  amount: Money.of(1_000, "EUR"),
  paymentMethod,
});
const rich = Money.of(1_000_000, "EUR");
const authorize = (key = "a", asked = terms(), balance = rich): PaymentIntent.Command => ({
  _tag: "Authorize",
  reference,
  key,
  terms: asked,
  balance,
});
const cancel = (key = "x"): PaymentIntent.Command => ({ _tag: "Cancel", reference, key });
const capture = (key = "c"): PaymentIntent.Command => ({ _tag: "Capture", key });
const refund = (key = "r"): PaymentIntent.Command => ({ _tag: "Refund", key });
const settle: PaymentIntent.Command = { _tag: "Settle" };

/** Folds commands; refused ones change nothing. */
const run = (...commands: ReadonlyArray<PaymentIntent.Command>) => {
  let state: PaymentIntent.State = PaymentIntent.initial;
  const events: Array<PaymentIntent.Event> = [];
  const refusals: Array<string> = [];
  for (const command of commands) {
    const decided = PaymentIntent.decide(state, command);
    if (Result.isFailure(decided)) {
      refusals.push(decided.failure._tag);
      continue;
    }
    events.push(...decided.success);
    state = decided.success.reduce(PaymentIntent.evolve, state);
  }
  return { state, status: state?.status ?? null, events, refusals };
};

const commands = fc.array(
  fc.oneof(
    fc.constantFrom("k1", "k2", "k3").map((key) => authorize(key)),
    fc.constantFrom("k1", "k4", "k5").map((key) => capture(key)),
    fc.constantFrom("k2", "k6", "k7").map((key) => cancel(key)),
    fc.constantFrom("k3", "k8", "k9").map((key) => refund(key)),
    fc.constant(settle),
  ),
  { maxLength: 30 },
);

describe("PaymentIntent", () => {
  it("goes from authorized over captured to refunded", () => {
    assert.strictEqual(run(authorize()).status, "authorized");
    assert.strictEqual(run(authorize(), capture()).status, "processing");
    assert.strictEqual(run(authorize(), capture(), settle).status, "captured");
    assert.strictEqual(run(authorize(), capture(), settle, refund()).status, "refunding");
    assert.strictEqual(run(authorize(), capture(), settle, refund(), settle).status, "refunded");
  });

  it("declines by token, and whoever has not enough", () => {
    assert.strictEqual(run(authorize("a", terms(PaymentMethod.DECLINE))).status, "declined");
    assert.strictEqual(run(authorize("a", terms(), Money.of(999, "EUR"))).status, "declined");
    assert.strictEqual(run(authorize("a", terms(), Money.of(1_000, "EUR"))).status, "authorized");
    assert.deepStrictEqual(run(authorize("a", terms(PaymentMethod.DECLINE)), capture(), refund()).refusals, [
      "IntentRefused",
      "IntentRefused",
    ]);
    assert.strictEqual(run(authorize("a", terms(PaymentMethod.DECLINE)), cancel()).status, "declined");
    assert.strictEqual(PaymentIntent.balanceOf(CustomerId.make("poor-bob"), rich.currency).amount, 0);
    assert.isAbove(PaymentIntent.balanceOf(CustomerId.make("bob"), rich.currency).amount, 1_000_000);
  });

  it("leaves a tombstone when it cancels what it has never seen, and refuses the authorization that comes later", () => {
    const { status, refusals, state } = run(cancel(), authorize());
    assert.strictEqual(status, "canceled");
    assert.deepStrictEqual(refusals, ["IntentRefused"]);
    assert.isNull(state?.terms);
    assert.deepStrictEqual(state === null ? null : PaymentIntent.toResource(state), {
      reference,
      orderId: null,
      status: "canceled",
      amount: 0,
      currency: null,
    });
  });

  it("cancels what is authorized or processing, and refuses where money has moved", () => {
    assert.strictEqual(run(authorize(), cancel()).status, "canceled");
    assert.strictEqual(run(authorize(), capture(), cancel()).status, "canceled");
    assert.strictEqual(run(authorize(), capture(), cancel(), settle).status, "canceled");
    assert.deepStrictEqual(run(authorize(), capture(), settle, cancel()).refusals, ["IntentRefused"]);
    assert.deepStrictEqual(run(authorize(), cancel(), authorize("b"), capture()).refusals, ["IntentRefused", "IntentRefused"]);
  });

  it("does not know what was never authorized", () => {
    assert.deepStrictEqual(run(capture(), refund(), settle).refusals, ["IntentNotFound", "IntentNotFound"]);
  });

  it("refuses a key of another operation, and a reference of another payment", () => {
    assert.deepStrictEqual(run(authorize("k"), capture("k")).refusals, ["KeyReused"]);
    const other = { ...terms(), amount: Money.of(2_000, "EUR") };
    assert.deepStrictEqual(run(authorize(), authorize("b", other)).refusals, ["KeyReused"]);
  });

  it("remembers a bounded number of keys", () => {
    const { state } = run(...Array.from({ length: 50 }, (_, index) => authorize(`k${index}`)));
    assert.strictEqual(state?.keys.length, PaymentIntent.KEYS_MAX);
  });

  it("moves money at most once in each direction, and back only what came (property)", () => {
    fc.assert(
      fc.property(commands, (sequence) => {
        const { events } = run(...sequence);
        const tags = events.map(({ _tag }) => _tag);
        const captured = tags.filter((tag) => tag === "Captured").length;
        const refunded = tags.filter((tag) => tag === "Refunded").length;
        assert.isAtMost(captured, 1);
        assert.isAtMost(refunded, captured);
        if (refunded > 0) assert.isAbove(tags.indexOf("Refunded"), tags.indexOf("Captured"));
        for (const event of events) {
          if (event._tag === "Captured" || event._tag === "Refunded") assert.deepStrictEqual(event.terms.amount, terms().amount);
        }
      }),
    );
  });

  it("never moves money after a cancel (property)", () => {
    fc.assert(
      fc.property(commands, (sequence) => {
        const tags = run(...sequence).events.map(({ _tag }) => _tag);
        const canceled = tags.indexOf("Canceled");
        if (canceled < 0) return;
        assert.deepStrictEqual(
          tags.slice(canceled + 1).filter((tag) => tag !== "KeyUsed"),
          [],
        );
      }),
    );
  });

  it("does nothing when a call that was accepted is repeated (property)", () => {
    fc.assert(
      fc.property(commands, (sequence) => {
        let state: PaymentIntent.State = PaymentIntent.initial;
        for (const command of sequence) {
          const decided = PaymentIntent.decide(state, command);
          if (Result.isFailure(decided)) continue;
          state = decided.success.reduce(PaymentIntent.evolve, state);
          const again = PaymentIntent.decide(state, command);
          assert.deepStrictEqual(Result.isSuccess(again) ? again.success : [again.failure], []);
        }
      }),
    );
  });
});
