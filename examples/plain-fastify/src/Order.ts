/** An order: a decider of plain functions, and the messages that tell of it. */
import { accept, event, type Parse, reject, type Verdict } from "@org/saga-core/promise";

export interface Order {
  readonly id: string;
  readonly item: string;
  readonly quantity: number;
  readonly status: "placed" | "confirmed" | "refused";
}
/** Null: not there yet. */
export type State = Order | null;

export type Command =
  | { readonly _tag: "Place"; readonly id: string; readonly item: string; readonly quantity: number }
  | { readonly _tag: "Close"; readonly status: "confirmed" | "refused" };

export type Rejection = "exists" | "notFound";

/** What happened is the order as it is then: small enough to be its own event. */
export const decide = (state: State, command: Command): Verdict<Order, Rejection> => {
  switch (command._tag) {
    case "Place": {
      const { id, item, quantity } = command;
      return state === null ? accept({ id, item, quantity, status: "placed" as const }) : reject("exists");
    }
    case "Close":
      if (state === null) return reject("notFound");
      return state.status === command.status ? accept() : accept({ ...state, status: command.status });
  }
};

export const evolve = (_: State, after: Order): State => after;

// What is read back is checked: the state, and the bodies of messages.

const text = (value: unknown): value is string => typeof value === "string" && value.length > 0;
const whole = (value: unknown): value is number => typeof value === "number" && Number.isSafeInteger(value) && value > 0;

export const order: Parse<Order> = (json) => {
  if (typeof json === "object" && json !== null && "id" in json && "item" in json && "quantity" in json && "status" in json) {
    const { id, item, quantity, status } = json;
    const known = status === "placed" || status === "confirmed" || status === "refused";
    if (text(id) && text(item) && whole(quantity) && known) return { id, item, quantity, status };
  }
  throw new Error("not an order");
};

export const state: Parse<State> = (json) => (json === null ? null : order(json));

export const rejection: Parse<Rejection> = (json) => {
  if (json === "exists" || json === "notFound") return json;
  throw new Error("not a rejection");
};

const topic = { topic: "orders", key: ({ id }: Order) => id };

export const Placed = event("order.placed.v1", order, topic);
export const Closed = event("order.closed.v1", order, topic);

export const announce = (events: ReadonlyArray<Order>) => events.map((after) => (after.status === "placed" ? Placed : Closed).draft(after));
