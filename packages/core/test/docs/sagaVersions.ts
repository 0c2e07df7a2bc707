import { Result, Schema } from "effect";
import { Message, Saga, SagaVersions } from "@org/saga-core";

const topic = { topic: "trip", key: ({ trip }: { readonly trip: string }) => trip };
const Trip = Schema.Struct({ trip: Schema.String });
const ref = ({ trip }: typeof Trip.Type) => ({ trip });
const says = (name: string) => Message.event(`trip.${name}.v1`, Trip, topic);
const asks = (name: string) => Message.command(`trip.${name}.v1`, Trip, topic);

const book = { send: asks("book"), with: ref, done: says("booked"), undo: { send: asks("cancel"), with: ref, done: says("canceled") } };
const pay = { send: asks("pay"), with: ref, done: says("paid"), undo: { none: "nothing turns around behind it" } };

// As it was released.
export const v1 = Saga.make("trip", { version: 1, data: Trip }).pipe(Saga.step("book", book), Saga.pivot("pay", pay));

// With a step more, which needs to know more.
const InsuredTrip = Schema.Struct({ trip: Schema.String, insured: Schema.Boolean });
const insure = { send: asks("insure"), with: ref, done: says("insured"), undo: { none: "it lapses" } };

export const v2 = Saga.make("trip", { version: 2, data: InsuredTrip }).pipe(
  Saga.step("book", book),
  Saga.step("insure", { ...insure, when: ({ insured }) => insured }),
  Saga.pivot("pay", pay),
);

// Instances of v1 that are not too far go on as v2, uninsured. `SagaVersions.keep(v1)` would let all of them end as v1.
export const older = [SagaVersions.migrate(v1, v2, { data: ({ trip }) => Result.succeed({ trip, insured: false }) })];
