/**
 * Payment intents, durable: decides a command, and writes the intent, the order's money ledger, the event to be told and
 * the timers in one commit. Killed at any moment, it loses nothing: what was accepted is a timer that fires again.
 */
import { type Document, DocumentStore, Money, OrderId, StoreError, type Timer, Timers, Transaction, UnitOfWork } from "@org/saga-core";
import { ProviderApi, Webhook } from "@example/contracts";
import { Context, Duration, Effect, Layer, Queue, Result, Schedule, Schema } from "effect";
import * as PaymentIntent from "./PaymentIntent.ts";
import * as PaymentMethod from "./PaymentMethod.ts";

/** Owner of all timers of the provider. */
export const OWNER = "provider";
export const SETTLE = "settle";
export const WEBHOOK = "webhook";

const INTENT = "payment-intent";
const LEDGER = "payment-ledger";
const EVENT = "webhook-event";

/** Tries of a decision that lost a race for a row. */
const RACES_MAX = 8;

export interface Options {
  /** Between accepting a capture or refund and its being done, in milliseconds. */
  readonly settleMillis: number;
  /** How much later the webhook of `pm_late_capture` comes, in milliseconds. */
  readonly lateWebhookMillis: number;
}

export const defaults: Options = { settleMillis: 20, lateWebhookMillis: 2_000 };

/** The decision was negative. */
export class Refused extends Schema.TaggedError<Refused>()("Refused", {
  reason: Schema.Literals(["IntentNotFound", "IntentRefused", "KeyReused"]),
  status: Schema.NullOr(ProviderApi.IntentStatus),
}) {}

/** An event and how often its delivery failed. */
export const Pending = Schema.Struct({ event: Webhook.Event, attempts: Schema.Int });
export type Pending = typeof Pending.Type;

export class Intents extends Context.Service<
  Intents,
  {
    /** Decides and commits; the intent as it is then. */
    readonly run: (reference: string, command: PaymentIntent.Command) => Effect.Effect<PaymentIntent.Intent, Refused | StoreError>;
    readonly find: (reference: string) => Effect.Effect<PaymentIntent.State, StoreError>;
    /** In the order of `ids`; zeros for orders that have moved no money. */
    readonly ledger: (ids: ReadonlyArray<OrderId>) => Effect.Effect<ReadonlyArray<ProviderApi.LedgerEntry>, StoreError>;
    /** Settles what a timer says, and removes the timer, in one commit. */
    readonly settle: (timer: Timer) => Effect.Effect<void, StoreError>;
    /** The event that a webhook timer is for. */
    readonly pending: (timer: Timer) => Effect.Effect<Pending | null, StoreError>;
    /** The delivery was heard, or given up. */
    readonly delivered: (timer: Timer) => Effect.Effect<void, StoreError>;
    /** The delivery failed; again in `afterMillis`. */
    readonly postponed: (timer: Timer, pending: Pending, afterMillis: number) => Effect.Effect<void, StoreError>;
    /** Waits until a timer was added by this process. */
    readonly changed: Effect.Effect<void>;
  }
>()("@example/payment-provider/Intents") {}

export const make = Effect.fnUntraced(function* (options: Partial<Options> = {}) {
  const { settleMillis, lateWebhookMillis } = { ...defaults, ...options };
  const unit = yield* UnitOfWork;
  const documents = yield* DocumentStore;
  const timers = yield* Timers;
  const wake = yield* Queue.sliding<void>(1);

  const commit = <A, E>(body: Effect.Effect<A, E | StoreError, Transaction>): Effect.Effect<A, E | StoreError> =>
    unit.commit(body).pipe(
      Effect.retry({
        while: (error) => error instanceof StoreError && error.reason === "Contention",
        times: RACES_MAX,
        schedule: Schedule.exponential(Duration.millis(5)).pipe(Schedule.jittered),
      }),
    );

  /** Folds the command's events into the intent and into everything that follows from them. */
  const decide = Effect.fnUntraced(function* (reference: string, command: PaymentIntent.Command) {
    const document = (yield* documents.load(INTENT, [reference])).get(reference);
    const before = document === undefined ? null : yield* decodeIntent(document.state);
    const decision = PaymentIntent.decide(before, command);
    if (Result.isFailure(decision)) return yield* refusal(decision.failure);
    const events = decision.success;
    if (events.length === 0) return before;
    const after = events.reduce(PaymentIntent.evolve, before);
    if (after !== null)
      yield* documents.save([{ kind: INTENT, id: reference, revision: (document?.revision ?? 0) + 1, state: encodeIntent(after) }]);
    for (const event of events) yield* follow(reference, event, after);
    return after;
  });

  /** What an event makes happen: settling later, money in the ledger, and a webhook. */
  const follow = Effect.fnUntraced(function* (reference: string, event: PaymentIntent.Event, after: PaymentIntent.State) {
    const { now } = yield* Transaction;
    switch (event._tag) {
      case "CaptureStarted":
      case "RefundStarted": {
        const token = event._tag;
        if (token === "CaptureStarted" && !PaymentMethod.isCaptured(after?.terms?.paymentMethod ?? "")) return;
        yield* timers.schedule([{ owner: OWNER, key: reference, name: SETTLE, token, dueAt: now + settleMillis }]);
        return;
      }
      case "Captured":
      case "Refunded": {
        const { terms } = event;
        const captured = event._tag === "Captured";
        yield* book(terms.orderId, terms.amount, captured ? "captured" : "refunded");
        const type: Webhook.EventType = captured ? "payment.captured" : "payment.refunded";
        // The same event has the same id, whoever makes it.
        const id = `evt_${reference}_${captured ? "captured" : "refunded"}`;
        const { amount, currency } = terms.amount;
        const told: Webhook.Event = {
          id,
          type,
          created: Math.floor(now / 1000),
          data: { reference, orderId: terms.orderId, amount, currency },
        };
        yield* documents.save([{ kind: EVENT, id, revision: 1, state: encodePending({ event: told, attempts: 0 }) }]);
        const late = captured && PaymentMethod.isLate(terms.paymentMethod) ? lateWebhookMillis : 0;
        yield* timers.schedule([{ owner: OWNER, key: reference, name: `${WEBHOOK}:${type}`, token: id, dueAt: now + late }]);
        return;
      }
      case "Authorized":
      case "Declined":
      case "Canceled":
      case "KeyUsed":
        return;
    }
  });

  const book = Effect.fnUntraced(function* (orderId: OrderId, money: Money.Money, column: "captured" | "refunded") {
    const document = (yield* documents.load(LEDGER, [orderId])).get(orderId);
    const entry = document === undefined ? nothing(orderId) : yield* decodeEntry(document.state);
    const after = { ...entry, [column]: entry[column] + money.amount, currency: money.currency };
    yield* documents.save([{ kind: LEDGER, id: orderId, revision: (document?.revision ?? 0) + 1, state: encodeEntry(after) }]);
  });

  const run = Effect.fn("Intents.run")(function* (reference: string, command: PaymentIntent.Command) {
    const after = yield* commit(decide(reference, command));
    yield* Queue.offer(wake, undefined);
    return after === null ? yield* new Refused({ reason: "IntentNotFound", status: null }) : after;
  });

  return Intents.of({
    run,
    find: Effect.fn("Intents.find")(function* (reference: string) {
      const document = (yield* documents.find(INTENT, [reference])).get(reference);
      return document === undefined ? null : yield* decodeIntent(document.state);
    }),
    ledger: Effect.fn("Intents.ledger")(function* (ids: ReadonlyArray<OrderId>) {
      const entries = yield* documents.find(LEDGER, ids);
      return yield* Effect.forEach(ids, (id) => entryOf(id, entries.get(id)));
    }),
    settle: Effect.fn("Intents.settle")(function* (timer: Timer) {
      const work = decide(timer.key, { _tag: "Settle" }).pipe(
        Effect.catchTag("Refused", () => Effect.void),
        Effect.andThen(timers.complete([timer])),
      );
      yield* commit(work);
    }),
    pending: Effect.fn("Intents.pending")(function* (timer: Timer) {
      const document = (yield* documents.find(EVENT, [timer.token])).get(timer.token);
      return document === undefined ? null : yield* decodePending(document.state);
    }),
    delivered: Effect.fn("Intents.delivered")(function* (timer: Timer) {
      yield* commit(timers.complete([timer]));
    }),
    postponed: Effect.fn("Intents.postponed")(function* (timer: Timer, pending: Pending, afterMillis: number) {
      const work = Effect.gen(function* () {
        const { now } = yield* Transaction;
        const document = (yield* documents.load(EVENT, [timer.token])).get(timer.token);
        if (document === undefined) return yield* timers.complete([timer]);
        const state = encodePending({ ...pending, attempts: pending.attempts + 1 });
        yield* documents.save([{ ...document, revision: document.revision + 1, state }]);
        yield* timers.schedule([{ ...timer, dueAt: now + afterMillis }]);
      });
      yield* commit(work);
    }),
    changed: Queue.take(wake),
  });
});

export const layer = (options: Partial<Options> = {}): Layer.Layer<Intents, never, DocumentStore | Timers | UnitOfWork> =>
  Layer.effect(Intents, make(options));

const nothing = (orderId: OrderId): ProviderApi.LedgerEntry => ({ orderId, captured: 0, refunded: 0, currency: null });

const refusal = (rejection: PaymentIntent.Rejection): Refused =>
  new Refused({ reason: rejection._tag, status: rejection._tag === "IntentRefused" ? rejection.status : null });

const entryOf = (id: OrderId, document: Document | undefined): Effect.Effect<ProviderApi.LedgerEntry, StoreError> =>
  document === undefined ? Effect.succeed(nothing(id)) : decodeEntry(document.state);

const encodeIntent = Schema.encodeSync(PaymentIntent.Intent);
const encodeEntry = Schema.encodeSync(ProviderApi.LedgerEntry);
const encodePending = Schema.encodeSync(Pending);

/** A document that does not decode was written by a version that this one does not know. */
const decoder =
  <A>(name: string, schema: Schema.Decoder<A>) =>
  (state: unknown): Effect.Effect<A, StoreError> =>
    Schema.decodeUnknownEffect(schema)(state).pipe(
      Effect.mapError(
        () => new StoreError({ reason: "Refused", operation: "Intents.decode", message: `a ${name} of a form that is not known` }),
      ),
    );

const decodeIntent = decoder("payment intent", PaymentIntent.Intent);
const decodeEntry = decoder("ledger entry", ProviderApi.LedgerEntry);
const decodePending = decoder("webhook event", Pending);
