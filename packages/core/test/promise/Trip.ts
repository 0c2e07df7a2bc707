/** A seat, held by a saga whose steps are promises; nothing here knows Effect. */
import { command, event, outcome, type Parse, Saga, shape, step } from "@org/saga-core/promise";

export interface Ref {
  readonly id: string;
}

export const ref: Parse<Ref> = (json) => {
  if (typeof json === "object" && json !== null && "id" in json && typeof json.id === "string") return { id: json.id };
  throw new Error("an id is missing");
};

const topic = { topic: "trip", key: ({ id }: Ref) => id };

export const M = {
  Hold: command("trip.hold.v1", ref, topic),
  Held: event("trip.held.v1", ref, topic),
  Drop: command("trip.drop.v1", ref, topic),
  Dropped: event("trip.dropped.v1", ref, topic),
  Pay: command("trip.pay.v1", ref, topic),
  Paid: event("trip.paid.v1", ref, topic),
  Declined: event("trip.declined.v1", ref, topic),
  Approved: event("trip.approved.v1", ref, topic),
};

export const Trip = Saga.make("trip", { version: 1, data: shape(ref) }).pipe(
  Saga.step("hold", {
    send: M.Hold,
    with: ({ id }) => ({ id }),
    done: M.Held,
    undo: { send: M.Drop, with: ({ id }) => ({ id }), done: M.Dropped },
  }),
  Saga.signal("approval", { on: M.Approved, timeout: "1 day", otherwise: "undo" }),
  Saga.pivot("pay", {
    send: M.Pay,
    with: ({ id }) => ({ id }),
    done: M.Paid,
    failed: [Saga.failedBy(M.Declined, () => "declined")],
    undo: { none: "nothing follows it" },
  }),
);

/** Steps that write down what they were called for. */
export const stepsOf = (calls: Array<string>, pay: (id: string) => "paid" | "declined" = () => "paid") => [
  step(M.Hold, async ({ id }, key) => {
    calls.push(key);
    return outcome(M.Held, { id });
  }),
  step(M.Drop, async ({ id }, key) => {
    calls.push(`undo ${key}`);
    return outcome(M.Dropped, { id });
  }),
  step(M.Pay, async ({ id }, key) => {
    calls.push(key);
    return outcome(pay(id) === "paid" ? M.Paid : M.Declined, { id });
  }),
];
