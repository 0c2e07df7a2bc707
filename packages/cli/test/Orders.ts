/** Orders as the order service writes them. */
import { Aggregate, Checkout, CustomerId, Money, type Order, OrderId, Quantity, SagaRunner, Sku } from "@org/saga-core";

/** Must never be shown. */
export const TOKEN = "pm_secret_token";

export const definition = Checkout.make();

export const place = (id: OrderId, now: number): Extract<Order.Command, { readonly _tag: "Place" }> => ({
  _tag: "Place",
  id,
  customerId: CustomerId.make("c-1"),
  lines: [{ sku: Sku.make("apple"), name: "Apple\u001b[31m", quantity: Quantity.make(2), unitPrice: Money.of(150, "EUR") }],
  paymentMethod: TOKEN,
  cancelPolicy: "createdOnly",
  now,
});

/** An order whose checkout has begun. */
export const stateOf = (id: OrderId, now: number): SagaRunner.State =>
  SagaRunner.decide(
    definition,
    SagaRunner.initial,
    Aggregate.request(id, (at: number) => place(id, at)),
    now,
  ).state;
