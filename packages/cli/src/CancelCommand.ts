/**
 * `saga orders cancel`: what an operator can do when the buyer's own cancel came too late. Decided like any other request, in
 * one commit with the saga that undoes; the running services carry it out. It is refused once the payment was asked for.
 */
import { Aggregate, Checkout, CommandHandler, type Order, OrderId, SagaRunner } from "@org/saga-core";
import { PgStores } from "@org/saga-postgres";
import { Effect, Result } from "effect";
import { Argument, Command } from "effect/cli";
import * as CliFailure from "./CliFailure.ts";
import * as Databases from "./Databases.ts";
import * as Flags from "./Flags.ts";
import * as Output from "./Output.ts";

export const command = Command.make(
  "cancel",
  {
    id: Argument.String("id").pipe(Argument.withDescription("The order's id"), Argument.withSchema(OrderId)),
    schemas: Flags.schemas,
    json: Flags.json,
  },
  (flags) => cancel(flags),
).pipe(Command.withDescription("Cancel an order as an operator, until its payment was asked for: what was done so far is undone"));

interface Selection {
  readonly id: OrderId;
  readonly schemas: ReadonlyArray<string>;
  readonly json: boolean;
}

const cancel = Effect.fn("Orders.cancel")(function* ({ id, schemas, json }: Selection) {
  const [schema, ...others] = yield* Databases.chosen(schemas);
  if (schema === undefined || others.length > 0) return yield* CliFailure.usage("name the one schema of the order with --schema");
  const answer = yield* Databases.within(schema, decide(id).pipe(Effect.provide(PgStores.layerClient)));
  if (Result.isFailure(answer)) return yield* CliFailure.failed(`order ${id} cannot be canceled: ${reasonOf(answer.failure)}`);
  const { status, cancelRequested } = answer.success;
  const text = status === "canceled" ? `order ${id} is canceled` : `order ${id} is being canceled: what was done is undone first`;
  yield* Output.data(json, { id, status, cancelRequested }, text);
});

const decide = Effect.fnUntraced(function* (id: OrderId) {
  const request = Aggregate.request<SagaRunner.Command>(id, (now) => ({ _tag: "Cancel", by: "operator", now }));
  const [handled] = yield* CommandHandler.runBatch(SagaRunner.make(Checkout.make()))([request]);
  if (handled?._tag !== "Answered" || handled.answer === null) return yield* Effect.die(new Error("a request was answered with nothing"));
  return handled.answer;
});

const reasonOf = (rejection: Order.Rejection): string => {
  switch (rejection._tag) {
    case "OrderNotFound":
      return "there is none in this schema";
    case "TooLateToCancel":
      return `it is ${rejection.status}, and its payment was asked for or is settled`;
    case "InvalidTransition":
    case "OrderExists":
    case "EmptyOrder":
    case "TooManyLines":
    case "NothingCaptured":
    case "CurrencyMismatch":
      return rejection._tag;
  }
};
