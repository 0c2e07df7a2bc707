/** Orders as values, for the tests of the domain. */
import fc from "fast-check";
import { CustomerId, Money, type Order, OrderId, Quantity, Sku } from "@org/saga-core";

export const orderId = OrderId.make("order-1");

export const line = (sku: string, quantity: number, price: number, currency = "EUR"): Order.OrderLine => ({
  sku: Sku.make(sku),
  name: `A ${sku}`,
  quantity: Quantity.make(quantity),
  unitPrice: Money.of(price, currency),
});

export const place = (overrides: Partial<Extract<Order.Command, { _tag: "Place" }>> = {}): Extract<Order.Command, { _tag: "Place" }> => ({
  _tag: "Place",
  id: orderId,
  customerId: CustomerId.make("customer-1"),
  lines: [line("mug", 2, 1_250), line("tshirt", 1, 2_000)],
  paymentMethod: "pm_success",
  cancelPolicy: "createdOnly",
  now: 1_000,
  ...overrides,
});

/** Any command, at any time; times may run backwards, as clocks do. */
export const anyCommand: fc.Arbitrary<Order.Command> = fc.integer({ min: 0, max: 10_000 }).chain((now) =>
  fc.oneof(
    fc.constantFrom<Order.CancelPolicy>("createdOnly", "compensating").map((cancelPolicy) => place({ cancelPolicy, now })),
    fc.constantFrom<Order.Command>(
      { _tag: "StartCheckout", now },
      { _tag: "CompleteCheckout", now },
      { _tag: "ConfirmPayment", now },
      { _tag: "Finish", now },
      { _tag: "Refund", now },
      { _tag: "Cancel", by: "user", now },
      { _tag: "Cancel", by: "operator", now },
      { _tag: "Close", reason: "outOfStock", now },
      { _tag: "Close", reason: "paymentDeclined", now },
      { _tag: "Close", reason: "fulfillmentFailed", now },
    ),
  ),
);
