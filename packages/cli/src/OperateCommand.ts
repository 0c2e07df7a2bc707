/**
 * What an operator can do for an order. Decided like any other request, in one commit with the saga; the running services
 * carry it out.
 *
 * - `saga orders cancel`: also when the buyer's own cancel came too late; refused once the payment was asked for.
 * - `saga orders resume`: asks again for an undo that was refused for good, after its cause was mended.
 */
import { Aggregate, Checkout, CommandHandler, type Order, OrderId, SagaRunner } from "@org/saga-core";
import { PgStores } from "@org/saga-postgres";
import { Effect, Result } from "effect";
import { Argument, Command } from "effect/cli";
import * as CliFailure from "./CliFailure.ts";
import * as Databases from "./Databases.ts";
import * as Flags from "./Flags.ts";
import * as Output from "./Output.ts";

const flags = {
  id: Argument.String("id").pipe(Argument.withDescription("The order's id"), Argument.withSchema(OrderId)),
  schemas: Flags.schemas,
  json: Flags.json,
};

interface Selection {
  readonly id: OrderId;
  readonly schemas: ReadonlyArray<string>;
  readonly json: boolean;
}

export const cancel = Command.make("cancel", flags, (selection) =>
  operate(
    selection,
    (now) => ({ _tag: "Cancel", by: "operator", now }),
    ({ id, status }) =>
      status === "canceled" ? `order ${id} is canceled` : `order ${id} is being canceled: what was done is undone first`,
  ),
).pipe(Command.withDescription("Cancel an order as an operator, until its payment was asked for: what was done so far is undone"));

export const resume = Command.make("resume", flags, (selection) =>
  operate(
    selection,
    (now) => ({ _tag: "Resume", now }),
    ({ id, status }) => `order ${id} is ${status}: what is left is undone, if an undo had been refused`,
  ),
).pipe(Command.withDescription("Ask again for an undo that was refused for good, after its cause was mended"));

const operate = Effect.fn("Orders.operate")(function* (
  { id, schemas, json }: Selection,
  command: SagaRunner.Command,
  tell: (order: Order.Order) => string,
) {
  const [schema, ...others] = yield* Databases.chosen(schemas);
  if (schema === undefined || others.length > 0) return yield* CliFailure.usage("name the one schema of the order with --schema");
  const answer = yield* Databases.within(schema, decide(id, command).pipe(Effect.provide(PgStores.layerClient)));
  if (Result.isFailure(answer)) return yield* CliFailure.failed(`order ${id}: ${reasonOf(answer.failure)}`);
  const { status, cancelRequested } = answer.success;
  yield* Output.data(json, { id, status, cancelRequested }, tell(answer.success));
});

const decide = Effect.fnUntraced(function* (id: OrderId, command: SagaRunner.Command) {
  const [handled] = yield* CommandHandler.runBatch(SagaRunner.make(Checkout.make()))([Aggregate.request(id, command)]);
  if (handled?._tag !== "Answered" || handled.answer === null) return yield* Effect.die(new Error("a request was answered with nothing"));
  return handled.answer;
});

const reasonOf = (rejection: Order.Rejection): string => {
  switch (rejection._tag) {
    case "OrderNotFound":
      return "there is none in this schema";
    case "TooLateToCancel":
      return `it cannot be canceled: it is ${rejection.status}, and its payment was asked for or is settled`;
    case "InvalidTransition":
    case "OrderExists":
    case "EmptyOrder":
    case "TooManyLines":
    case "NothingCaptured":
    case "CurrencyMismatch":
      return rejection._tag;
  }
};
