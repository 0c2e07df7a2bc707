/** `saga diagram`: pictures as Mermaid text, drawn from the definitions that run. Needs no server. */
import { Checkout, OrderStatus, SagaDiagram, StateMachine } from "@org/saga-core";
import { Console, Effect } from "effect";
import { Argument, Command } from "effect/cli";

const DIAGRAMS = {
  order: () => StateMachine.mermaid(OrderStatus.machine),
  checkout: () => SagaDiagram.states(Checkout.make()),
  "checkout-sequence": () => SagaDiagram.sequence(Checkout.make()),
} as const;

export const command = Command.make(
  "diagram",
  {
    what: Argument.Literals("what", ["order", "checkout", "checkout-sequence"]).pipe(
      Argument.withDescription("order: the life cycle; checkout: the saga's steps and undos; checkout-sequence: who is asked what"),
    ),
  },
  ({ what }) => Effect.suspend(() => Console.log(DIAGRAMS[what]().trimEnd())),
).pipe(Command.withDescription("Print a Mermaid diagram: saga diagram order > order.mmd"));
