/** A trip: flight, hotel and car are reserved side by side, then it is paid for, then the tickets are sent. */
import { Message, Saga } from "@org/saga-core";
import { outcome, type PlainStep, step } from "@org/saga-core/promise";
import { Schema } from "effect";

const Data = Schema.Struct({ trip: Schema.String, traveller: Schema.String, price: Schema.Int });
type Data = typeof Data.Type;
const Ref = Schema.Struct({ trip: Schema.String });
const Bill = Schema.Struct({ trip: Schema.String, price: Schema.Int });
const topic = { topic: "trips", key: ({ trip }: { readonly trip: string }) => trip };
const trip = ({ trip }: Data) => ({ trip });
const bill = ({ trip, price }: Data) => ({ trip, price });

/** Whoever does the work. `key` is the same when a call is made again, and another one for its undo: by it they do it once. */
export interface Agents {
  readonly reserve: (what: string, trip: string, key: string) => Promise<"reserved" | "full">;
  readonly release: (what: string, trip: string, key: string) => Promise<void>;
  readonly charge: (trip: string, price: number, key: string) => Promise<"paid" | "declined">;
  readonly refund: (trip: string, price: number, key: string) => Promise<void>;
  readonly send: (trip: string, key: string) => Promise<void>;
}

const reservation = (what: string) => {
  const Reserve = Message.command(`trip.reserve-${what}.v1`, Ref, topic);
  const Reserved = Message.event(`trip.${what}-reserved.v1`, Ref, topic);
  const Full = Message.event(`trip.${what}-full.v1`, Ref, topic);
  const Release = Message.command(`trip.release-${what}.v1`, Ref, topic);
  const Released = Message.event(`trip.${what}-released.v1`, Ref, topic);
  const failed = [Saga.failedBy(Full, () => `no ${what}`)];
  const options = { send: Reserve, with: trip, done: Reserved, failed, undo: { send: Release, with: trip, done: Released } };
  const steps = ({ reserve, release }: Agents): ReadonlyArray<PlainStep> => [
    step(Reserve, async (body, key) => outcome((await reserve(what, body.trip, key)) === "reserved" ? Reserved : Full, body)),
    step(Release, async (body, key) => release(what, body.trip, key).then(() => outcome(Released, body))),
  ];
  return { options, steps };
};
const [flight, hotel, car] = [reservation("flight"), reservation("hotel"), reservation("car")];

const Pay = Message.command("trip.pay.v1", Bill, topic);
const Paid = Message.event("trip.paid.v1", Ref, topic);
const Declined = Message.event("trip.declined.v1", Ref, topic);
const Refund = Message.command("trip.refund.v1", Bill, topic);
const Refunded = Message.event("trip.refunded.v1", Ref, topic);
const SendTickets = Message.command("trip.send-tickets.v1", Ref, topic);
const TicketsSent = Message.event("trip.tickets-sent.v1", Ref, topic);

export const Trip = Saga.make("trip", { version: 1, data: Data, deadline: "1 hour" }).pipe(
  Saga.parallel([
    Saga.step("reserve-flight", flight.options),
    Saga.step("reserve-hotel", hotel.options),
    Saga.step("reserve-car", car.options),
  ]),
  Saga.pivot("pay", {
    send: Pay,
    with: bill,
    done: Paid,
    failed: [Saga.failedBy(Declined, () => "declined")],
    undo: { send: Refund, with: bill, done: Refunded },
  }),
  Saga.retriable("send-tickets", { send: SendTickets, with: trip, done: TicketsSent }),
);

export const stepsOf = (agents: Agents): ReadonlyArray<PlainStep> => [
  ...[flight, hotel, car].flatMap(({ steps }) => steps(agents)),
  step(Pay, async (body, key) => outcome((await agents.charge(body.trip, body.price, key)) === "paid" ? Paid : Declined, body)),
  step(Refund, async (body, key) => agents.refund(body.trip, body.price, key).then(() => outcome(Refunded, body))),
  step(SendTickets, async (body, key) => agents.send(body.trip, key).then(() => outcome(TicketsSent, body))),
];
