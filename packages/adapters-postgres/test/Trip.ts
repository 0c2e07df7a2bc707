/**
 * A saga of two steps, done by functions that write down, in a database of their own, that they begin and what they did: what
 * stays when their process is killed. They hang where they are told to.
 */
import { DirectSaga, Message, Saga } from "@org/saga-core";
import { Effect, Schema } from "effect";
import pg from "pg";

export const NAME = "trip";

/** After so long without an outcome a step's timer is due, in milliseconds. Tests wait for it. */
const TIMEOUT_MS = 2_000;

const Ref = Schema.Struct({ id: Schema.String });
const Seat = Schema.Struct({ id: Schema.String, seat: Schema.NullOr(Schema.Int) });
const topic = { topic: "trip.steps", key: ({ id }: { readonly id: string }) => id };
const Book = Message.command("trip.book.v1", Ref, topic);
const Booked = Message.event("trip.booked.v1", Seat, topic);
const Cancel = Message.command("trip.cancel.v1", Ref, topic);
const Canceled = Message.event("trip.canceled.v1", Ref, topic);
const Pay = Message.command("trip.pay.v1", Seat, topic);
const Paid = Message.event("trip.paid.v1", Ref, topic);
const Refused = Message.event("trip.refused.v1", Ref, topic);

type Seat = typeof Seat.Type;
const ref = ({ id }: Seat) => ({ id });

/** What the first step found and the second one is given. */
export const SEAT = 7;

const definition = Saga.make(NAME, { version: 1, data: Seat, undoRetry: { first: TIMEOUT_MS, max: TIMEOUT_MS } }).pipe(
  Saga.step("book", {
    send: Book,
    with: ref,
    done: Booked,
    onDone: (trip, { seat }) => ({ ...trip, seat }),
    undo: { send: Cancel, with: ref, done: Canceled },
    timeout: TIMEOUT_MS,
  }),
  Saga.pivot("pay", {
    send: Pay,
    with: (trip) => trip,
    done: Paid,
    failed: [Saga.failedBy(Refused, () => "refused")],
    undo: { none: "nothing follows it" },
    timeout: TIMEOUT_MS,
  }),
);

export type What = "book" | "cancel" | "pay";

/** `begins`: the function was called. `done`: what it does outside is done; its outcome is not known to anybody yet. */
export interface Line {
  readonly pid: number;
  readonly id: string;
  readonly what: What;
  readonly key: string;
  readonly at: "begins" | "done";
  readonly seat: number | null;
}

export const TABLES = `create table lines (n bigint generated always as identity, pid int not null, id text not null, what text not null,
  key text not null, at text not null, seat int)`;

export interface Behaviour {
  /** `book begins`, `pay done`: there the function never goes on. */
  readonly hangsAt?: string;
  /** Is the payment refused? */
  readonly refuses?: boolean;
}

export const make = (outside: pg.Pool, { hangsAt = "", refuses = false }: Behaviour = {}) => {
  const write = (what: What, id: string, key: string, at: Line["at"], seat: number | null) =>
    Effect.andThen(
      Effect.promise(() =>
        outside.query("insert into lines (pid, id, what, key, at, seat) values ($1, $2, $3, $4, $5, $6)", [
          process.pid,
          id,
          what,
          key,
          at,
          seat,
        ]),
      ),
      hangsAt === `${what} ${at}` ? Effect.never : Effect.void,
    );
  const does = (what: What, id: string, key: string, seat: number | null, outcome: DirectSaga.Outcome) =>
    write(what, id, key, "begins", seat).pipe(Effect.andThen(write(what, id, key, "done", seat)), Effect.as(outcome));
  return DirectSaga.make({
    definition,
    steps: [
      DirectSaga.step(Book, ({ id }, key) => does("book", id, key, null, DirectSaga.outcome(Booked, { id, seat: SEAT }))),
      DirectSaga.step(Cancel, ({ id }, key) => does("cancel", id, key, null, DirectSaga.outcome(Canceled, { id }))),
      DirectSaga.step(Pay, ({ id, seat }, key) => does("pay", id, key, seat, DirectSaga.outcome(refuses ? Refused : Paid, { id }))),
    ],
  });
};
