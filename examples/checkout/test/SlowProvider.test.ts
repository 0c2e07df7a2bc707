import { Effect, Layer } from "effect";
import { expect, test } from "vitest";
import { CheckoutMessages as M, CustomerId, Money, OrderId, Timers } from "@org/saga-core";
import { Conversation } from "@org/saga-core/testing";
import { CheckoutService } from "@example/checkout";
import { PaymentProvider, ProviderTimeout } from "@example/contracts";

const ORDERS = 40;
const CALL_MS = 30_000;

test("a provider that is slow is met by as many calls as may be made at a time: no timer is claimed over and over while it waits", () => {
  let claimed = 0;
  let underWay = 0;
  let most = 0;
  const slow = (operation: string) =>
    Effect.suspend(() => {
      underWay += 1;
      most = Math.max(most, underWay);
      return Effect.andThen(Effect.sleep(CALL_MS), Effect.fail(new ProviderTimeout({ operation, timeoutMillis: CALL_MS })));
    }).pipe(Effect.ensuring(Effect.sync(() => (underWay -= 1))));
  const provider = Layer.succeed(PaymentProvider, {
    authorize: () => slow("authorize"),
    capture: () => slow("capture"),
    cancel: () => slow("cancel"),
    refund: () => slow("refund"),
    probe: () => slow("probe"),
    balance: () => slow("balance"),
  });
  const counted = Layer.effect(
    Timers,
    Effect.map(Timers, (timers) => ({
      ...timers,
      claimDue: (owner: string, max: number, leaseMillis: number) =>
        Effect.tap(timers.claimDue(owner, max, leaseMillis), (due) => Effect.sync(() => void (claimed += due.length))),
    })),
  );
  const service = CheckoutService.roles(["relay", "consumer", "worker"]).pipe(
    Layer.provide(CheckoutService.layer({ callsMax: 2 })),
    Layer.provide([provider, counted]),
  );
  Conversation.hold(
    { service, catalogue: M.catalogue },
    Effect.fnUntraced(function* (talk) {
      const drafts = Array.from({ length: ORDERS }, (_, n) =>
        M.AuthorizePayment.draft({
          orderId: OrderId.make(`order-${n}`),
          customerId: CustomerId.make("ada"),
          amount: Money.of(100, "EUR"),
          paymentMethod: "pm_success",
        }),
      );
      yield* talk.tell(...drafts);
      yield* talk.wait(5 * CALL_MS);
    }),
  );
  expect(most).toBe(2);
  expect(claimed).toBeLessThan(2 * ORDERS);
});
