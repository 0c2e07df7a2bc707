/** Orders as the order service writes them. */
import {
  Aggregate,
  Checkout,
  ChoreographyRunner,
  CustomerId,
  Money,
  type Order,
  OrderId,
  Quantity,
  Saga,
  SagaRunner,
  Sku,
} from "@org/saga-core";

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

/** An order whose checkout turned around, and rests: the undos of `refused` were refused for good. */
export const stuckOf = (id: OrderId, now: number, refused: ReadonlyArray<string>): SagaRunner.State => {
  const begun = stateOf(id, now);
  if (begun.saga === null) throw new Error("fixture");
  const steps = refused.map((name) => [name, { status: "undoRefused", round: 1, attempts: 1 }] as const);
  const failure = { step: "commit-stock", reason: "holdExpired" };
  const done = { status: "done", round: 1, attempts: 1 } as const;
  const [first] = definition.steps;
  if (first === undefined) throw new Error("fixture");
  return {
    ...begun,
    saga: { ...begun.saga, status: "compensationFailed", steps: { [first.name]: done, ...Object.fromEntries(steps) }, failure },
  };
};

const home = Saga.choreograph(definition, Checkout.distribution).home;

/** Orders at home, where nobody coordinates. */
export const atHome = ChoreographyRunner.make(home);

/** An order at home whose checkout was aborted: the undo of `refused`, elsewhere, was refused for good. */
export const stuckAtHome = (id: OrderId, now: number, refused: string): ChoreographyRunner.State => {
  const begun = atHome.decide(
    atHome.initial,
    Aggregate.request(id, (at: number) => place(id, at)),
    now,
  ).state;
  const { row } = begun;
  if (row === null || row.instance === null) throw new Error("fixture");
  const failure = { step: "commit-stock", reason: "holdExpired" };
  const instance = { ...row.instance, status: "compensationFailed", failure } as const;
  return { ...begun, row: { ...row, instance, aborted: { failure, pivoted: false }, refused: [refused] } };
};
