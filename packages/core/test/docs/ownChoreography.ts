import { Context, Effect, Layer, Schema } from "effect";
import { ChoreographyHome, ChoreographyService, Message, Saga } from "@org/saga-core";

const Trip = Schema.Struct({ trip: Schema.String, seat: Schema.String, price: Schema.Int });
type Trip = typeof Trip.Type;
const Ref = Schema.Struct({ trip: Schema.String });
const Bill = Schema.Struct({ trip: Schema.String, price: Schema.Int });
const ref = ({ trip }: Trip) => ({ trip });
// The key of every message is the instance's id.
const on = (topic: string) => ({ topic, key: ({ trip }: { readonly trip: string }) => trip });

export const M = {
  HoldSeat: Message.command("trip.hold-seat.v1", Ref, on("travel.commands")),
  SeatHeld: Message.event("trip.seat-held.v1", Ref, on("travel.events")),
  ReleaseSeat: Message.command("trip.release-seat.v1", Ref, on("travel.commands")),
  SeatReleased: Message.event("trip.seat-released.v1", Ref, on("travel.events")),
  ReleaseRefused: Message.event("trip.release-refused.v1", Ref, on("travel.events")),
  Pay: Message.command("trip.pay.v1", Bill, on("bank.commands")),
  Paid: Message.event("trip.paid.v1", Ref, on("bank.events")),
  Declined: Message.event("trip.declined.v1", Ref, on("bank.events")),
  SendTicket: Message.command("trip.send-ticket.v1", Ref, on("travel.commands")),
  TicketSent: Message.event("trip.ticket-sent.v1", Ref, on("travel.events")),
};

export const definition = Saga.make("trip", { version: 1, data: Trip }).pipe(
  Saga.step("hold-seat", {
    send: M.HoldSeat,
    with: ref,
    done: M.SeatHeld,
    undo: { send: M.ReleaseSeat, with: ref, done: M.SeatReleased, refused: M.ReleaseRefused },
  }),
  Saga.pivot("pay", {
    send: M.Pay,
    with: ({ trip, price }) => ({ trip, price }),
    done: M.Paid,
    failed: [Saga.failedBy(M.Declined, () => "declined")],
    undo: { none: "nothing turns around behind it" },
  }),
  Saga.retriable("send-ticket", { send: M.SendTicket, with: ref, done: M.TicketSent }),
);

export const trip = Saga.choreograph(definition, {
  home: "travel",
  owners: { "hold-seat": "travel", pay: "bank", "send-ticket": "travel" },
});

// In the travel service: its part, and whatever people ask for. Beside it run its handlers and its relay.
export class Trips extends Context.Service<Trips, ChoreographyHome.ChoreographyHome<Trip>>()("Trips") {}
export const tripsLayer = Layer.effect(Trips, ChoreographyHome.make(trip.home, { roles: ["consumer", "worker"] }));

// In the bank: its part.
export const bankLayer = ChoreographyService.layer(trip.of("bank"), { roles: ["consumer", "worker"] });

// What an HTTP route of the travel service does.
export const book = Effect.fn("book")(function* (id: string, seat: string, price: number) {
  const trips = yield* Trips;
  const begun = yield* trips.start(id, { trip: id, seat, price });
  return begun._tag; // "Started", or "AlreadyThere" when it is repeated
});
