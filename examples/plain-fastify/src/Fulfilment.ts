/** What happens with an order once it is placed: stock, money, parcel, and word to the order. The steps are functions of this process. */
import { command, event, type MessageType, outcome, type PlainStep, Saga, shape, step } from "@org/saga-core/promise";
import { type Order, order } from "./Order.ts";

/** The shop's own clients of the world. `key` is the same when a call is made again: by it they do it once. */
export interface World {
  readonly reserve: (order: Order, key: string) => Promise<boolean>;
  readonly release: (order: Order, key: string) => Promise<void>;
  readonly charge: (order: Order, key: string) => Promise<boolean>;
  readonly ship: (order: Order, key: string) => Promise<void>;
}

const topic = { topic: "fulfilment", key: ({ id }: Order) => id };
const same = (placed: Order): Order => placed;

const Reserve = command("fulfilment.reserve.v1", order, topic);
const Reserved = event("fulfilment.reserved.v1", order, topic);
const SoldOut = event("fulfilment.sold-out.v1", order, topic);
const Release = command("fulfilment.release.v1", order, topic);
const Released = event("fulfilment.released.v1", order, topic);
const Charge = command("fulfilment.charge.v1", order, topic);
const Charged = event("fulfilment.charged.v1", order, topic);
const Declined = event("fulfilment.declined.v1", order, topic);
const Ship = command("fulfilment.ship.v1", order, topic);
const Shipped = event("fulfilment.shipped.v1", order, topic);
const Confirm = command("fulfilment.confirm.v1", order, topic);
const Confirmed = event("fulfilment.confirmed.v1", order, topic);
const Open = command("fulfilment.open.v1", order, topic);
const Opened = event("fulfilment.opened.v1", order, topic);
const Refuse = command("fulfilment.refuse.v1", order, topic);
const Refused = event("fulfilment.refused.v1", order, topic);

export const Fulfilment = Saga.make("fulfilment", { version: 1, data: shape(order) }).pipe(
  // Nothing to do but to be undone: whatever fails after it, the order hears of it last.
  Saga.step("open", { send: Open, with: same, done: Opened, undo: { send: Refuse, with: same, done: Refused } }),
  Saga.step("reserve", {
    send: Reserve,
    with: same,
    done: Reserved,
    failed: [Saga.failedBy(SoldOut, () => "soldOut")],
    undo: { send: Release, with: same, done: Released },
  }),
  Saga.pivot("charge", {
    send: Charge,
    with: same,
    done: Charged,
    failed: [Saga.failedBy(Declined, () => "declined")],
    undo: { none: "what follows it succeeds at some time" },
  }),
  Saga.retriable("ship", { send: Ship, with: same, done: Shipped }),
  Saga.retriable("confirm", { send: Confirm, with: same, done: Confirmed }),
);

/** `close` tells the order how it ended. */
export const stepsOf = (
  world: World,
  close: (id: string, status: "confirmed" | "refused") => Promise<unknown>,
): ReadonlyArray<PlainStep> => [
  does(Open, Opened, async () => undefined),
  does(Refuse, Refused, ({ id }) => close(id, "refused")),
  step(Reserve, async (placed, key) => outcome((await world.reserve(placed, key)) ? Reserved : SoldOut, placed)),
  does(Release, Released, world.release),
  step(Charge, async (placed, key) => outcome((await world.charge(placed, key)) ? Charged : Declined, placed)),
  does(Ship, Shipped, world.ship),
  does(Confirm, Confirmed, ({ id }) => close(id, "confirmed")),
];

const does = (type: MessageType<Order>, done: MessageType<Order>, work: (placed: Order, key: string) => Promise<unknown>): PlainStep =>
  step(type, async (placed, key) => {
    await work(placed, key);
    return outcome(done, placed);
  });
