/** A small saga in which mistakes are planted: two steps side by side, a second round, a probe, a step that turns it around. */
import { Schema } from "effect";
import { Message, Saga } from "@org/saga-core";

const Ref = Schema.Struct({ id: Schema.String });
type Ref = typeof Ref.Type;
const topic = { topic: "trip", key: ({ id }: Ref) => id };
const command = (type: string) => Message.command(`${type}.v1`, Ref, topic);
const event = (type: string) => Message.event(`${type}.v1`, Ref, topic);
const self = (data: Ref) => data;

const Dropped = event("seat-dropped");

export const Trip = Saga.make("trip", { version: 1, data: Ref }).pipe(
  Saga.parallel([
    Saga.step("seat", {
      send: command("hold-seat"),
      with: self,
      done: event("seat-held"),
      failed: [Saga.failedBy(event("no-seat"), () => "full")],
      retry: { rounds: 2, first: "1 second", max: "1 minute" },
      undo: { send: command("drop-seat"), with: self, done: Dropped, refused: event("seat-kept") },
    }),
    Saga.step("room", {
      send: command("hold-room"),
      with: self,
      done: event("room-held"),
      undo: { send: command("drop-room"), with: self, done: event("room-dropped") },
    }),
  ]),
  Saga.pivot("pay", {
    send: command("pay"),
    with: self,
    done: event("paid"),
    failed: [Saga.failedBy(event("declined"), () => "declined")],
    probe: { send: command("ask-payment"), with: self, unseen: event("no-payment") },
    undo: { send: command("refund"), with: self, done: event("refunded") },
  }),
  Saga.retriable("issue", {
    send: command("issue"),
    with: self,
    done: event("issued"),
    failed: [Saga.failedBy(event("not-issued"), () => "notIssued")],
    otherwise: "undo",
  }),
);

/** One message says both that the seat was dropped and that it was not: it cannot be declared. */
export const Ambiguous: typeof Trip = {
  ...Trip,
  steps: Trip.steps.map((step) =>
    step._tag === "Remote" && step.name === "seat" && step.undo !== null ? { ...step, undo: { ...step.undo, refused: Dropped } } : step,
  ),
};

/** Nothing but a pivot that nobody can undo. */
export const Gift = Saga.make("gift", { version: 1, data: Ref }).pipe(
  Saga.pivot("give", { send: command("give"), with: self, done: event("given"), undo: { none: "what is given is given" } }),
);

const reserve = (name: string) =>
  Saga.step<Ref, never, Ref, Ref, Ref>(name, {
    send: command(`reserve-${name}`),
    with: self,
    done: event(`${name}-reserved`),
    failed: [Saga.failedBy(event(`no-${name}`), () => "full")],
    undo: { send: command(`cancel-${name}`), with: self, done: event(`${name}-canceled`), refused: event(`${name}-kept`) },
  });

const pay = Saga.pivot<Ref, never, Ref, Ref>("pay", {
  send: command("pay"),
  with: self,
  done: event("paid"),
  undo: { none: "it is the last" },
});

/** Steps side by side that are each other's like. */
export const Twins = Saga.make("twins", { version: 1, data: Ref }).pipe(Saga.parallel([reserve("hotel"), reserve("flight")]), pay);
export const Triplets = Saga.make("triplets", { version: 1, data: Ref }).pipe(
  Saga.parallel([reserve("hotel"), reserve("flight"), reserve("car")]),
  pay,
);
