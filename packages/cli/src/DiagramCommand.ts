/** `saga diagram`: pictures as Mermaid text, drawn from the definitions that run. Needs no server. */
import { Checkout, OrderStatus, StateMachine } from "@org/saga-core";
import { Console, Effect } from "effect";
import { Argument, Command } from "effect/cli";
import * as SagaDiagram from "./SagaDiagram.ts";

const DIAGRAMS = {
  order: () => StateMachine.mermaid(OrderStatus.machine),
  checkout: () => SagaDiagram.mermaid(Checkout.make()),
} as const;

export const command = Command.make(
  "diagram",
  {
    what: Argument.Literals("what", ["order", "checkout"]).pipe(
      Argument.withDescription("order: the life cycle; checkout: the saga's steps and undos"),
    ),
  },
  ({ what }) => Effect.suspend(() => Console.log(DIAGRAMS[what]().trimEnd())),
).pipe(Command.withDescription("Print a Mermaid diagram: saga diagram order > order.mmd"));
