/**
 * The checkout service: the payments of the shop. One document a payment; what a command, a webhook or a provider's answer
 * decides is one commit with its messages and its timer.
 *
 * A call to the provider is recorded (commit), made outside of any transaction, and its outcome recorded (commit). A process
 * that dies in between leaves the timer of the call behind: when it fires, the provider is probed.
 */
import { Context, Effect, Exit, Layer, Metric, Schema, Semaphore } from "effect";
import {
  Aggregate,
  CheckoutMessages as M,
  CommandHandler,
  type DeadLetters,
  DocumentAggregate,
  type DocumentStore,
  type Inbox,
  Mailbox,
  type Message,
  type MessageBus,
  MessageConsumer,
  OrderId,
  type Outbox,
  OutboxMonitor,
  OutboxRelay,
  Retention,
  type Timer,
  TimerPump,
  type Timers,
  type Timestamp,
  type UnitOfWork,
} from "@org/saga-core";
import { Concurrency, type PaymentProvider } from "@example/contracts";
import * as BalanceCheck from "./BalanceCheck.ts";
import * as CheckoutSettings from "./CheckoutSettings.ts";
import * as Payment from "./Payment.ts";
import { fromMessage, react } from "./PaymentMessages.ts";
import * as ProviderCalls from "./ProviderCalls.ts";

/** Kind of the documents, consumer group, consumer name and owner of the timers. */
export const NAME = "payment";

/** The call that an input recorded, and that is now to be made; null: none. */
export interface Due {
  readonly call: Payment.Call;
  readonly seq: number;
  readonly terms: Payment.Terms | null;
}

export type Input = Aggregate.Input<(now: Timestamp) => Payment.Command>;
export type Handled = CommandHandler.Handled<Due | null>;

/** The mailbox of all payments, and the settings they live by. */
export class Payments extends Context.Service<
  Payments,
  { readonly mailbox: Mailbox.Mailbox<Input, Handled>; readonly settings: CheckoutSettings.Settings }
>()("@example/checkout/Payments") {}

export const aggregate = (
  settings: CheckoutSettings.Settings = CheckoutSettings.defaults,
): Aggregate.Aggregate<DocumentAggregate.Revised<Payment.Payment>, (now: Timestamp) => Payment.Command, Due | null, DocumentStore> => {
  const documents = DocumentAggregate.make({
    name: NAME,
    decider: Payment.make(settings),
    schema: Payment.Payment,
    rejection: Schema.Never,
    fromMessage,
    fromTimer: (timer, now): Payment.Command => ({ _tag: "Attempt", orderId: OrderId.make(timer.key), token: timer.token, now }),
    react: (events, state, now) => react(events, state, now, settings.callLeaseMillis),
  });
  return {
    ...documents,
    decide: (revised, input, now) => {
      const decision = documents.decide(revised, input, now);
      return { ...decision, answer: dueAfter(revised.state, decision.state.state) };
    },
    // A webhook that comes again finds its work done: nothing is to be called for it.
    encodeAnswer: () => null,
    decodeAnswer: () => null,
  };
};

const dueAfter = (before: Payment.Payment, { seq, work, terms }: Payment.Payment): Due | null =>
  work === null || !work.called || seq === before.seq ? null : { call: work.call, seq, terms };

export const layer = (
  settings: Partial<CheckoutSettings.Settings> = {},
  bounds: Partial<Concurrency.Concurrency["mailbox"]> = {},
): Layer.Layer<Payments, never, CommandHandler.Ports | DocumentStore> =>
  Layer.effect(
    Payments,
    Effect.gen(function* () {
      const all = { ...CheckoutSettings.defaults, ...settings };
      const mailbox = yield* Mailbox.make<Input, Handled, CommandHandler.Ports | DocumentStore>({
        name: NAME,
        key: Aggregate.keyOf,
        run: CommandHandler.runBatch(aggregate(all)),
        ...bounds,
      });
      return { mailbox, settings: all };
    }),
  );

/** Balance checks are answered at once, since they change nothing; everything else is the payment's to decide. */
const handle = Effect.fnUntraced(function* (
  envelopes: ReadonlyArray<Message.Envelope>,
): Effect.fn.Return<ReadonlyArray<Exit.Exit<unknown, Mailbox.Failure>>, never, Payments | PaymentProvider | UnitOfWork | Inbox | Outbox> {
  const { mailbox } = yield* Payments;
  const checks = envelopes.filter((envelope) => M.CheckBalance.is(envelope));
  const commands = envelopes.filter((envelope) => !M.CheckBalance.is(envelope));
  const decided = yield* mailbox.submitAll(commands.map((envelope) => ({ _tag: "Message", envelope })));
  const checked = checks.length === 0 ? [] : yield* BalanceCheck.handle(checks);
  const exits = new Map<Message.Envelope, Exit.Exit<unknown, Mailbox.Failure>>();
  for (const [index, exit] of decided.entries()) put(exits, commands[index], exit);
  for (const [index, exit] of checked.entries()) put(exits, checks[index], exit);
  return envelopes.map((envelope) => exits.get(envelope) ?? Exit.void);
});

const put = <V>(map: Map<Message.Envelope, V>, key: Message.Envelope | undefined, value: V): void => {
  if (key !== undefined) map.set(key, value);
};

/** Reads what it is asked. */
export const consumer = (
  concurrency: Concurrency.Concurrency,
): Layer.Layer<never, never, Payments | PaymentProvider | UnitOfWork | Inbox | Outbox | DeadLetters | MessageBus> =>
  MessageConsumer.layer({
    group: NAME,
    catalogue: M.catalogue,
    types: [M.CheckBalance, M.AuthorizePayment, M.CapturePayment, M.VoidPayment, M.RefundPayment],
    batchMax: concurrency.consumer.batchMax,
    handle,
  });

const calls = Metric.counter("saga_payment_calls_total", { description: "Calls to the provider, by call and finding", incremental: true });

/** A timer of the work: records the call, makes it, records what it found. */
export const work = Effect.fn("CheckoutService.work")(function* (timer: Timer) {
  const { mailbox } = yield* Payments;
  const handled = yield* mailbox.submit({ _tag: "Timer", timer });
  if (handled._tag !== "Answered" || handled.answer === null) return;
  const { call, seq, terms } = handled.answer;
  const orderId = OrderId.make(timer.key);
  const finding = yield* ProviderCalls.find(orderId, call, terms);
  yield* Metric.update(Metric.withAttributes(calls, { call, finding }), 1);
  yield* mailbox.submit(Aggregate.request(orderId, (now): Payment.Command => ({ _tag: "Report", orderId, finding, seq, now })));
});

/**
 * Calls the provider. A slow call holds up no other as long as there is a free place: the pump goes on when the calls have
 * been handed over. Without one it waits, and claims nothing more: or a slow provider would be met by ever more waiting
 * calls, each timer anew after its lease. What fails on the way is asked again when its timer comes back.
 */
const pump = (atMost: number): Layer.Layer<never, never, Payments | PaymentProvider | Timers> =>
  Layer.unwrap(
    Effect.gen(function* () {
      const { settings } = yield* Payments;
      const permits = yield* Semaphore.make(settings.callsMax);
      const scope = yield* Effect.scope;
      const call = (timer: Timer) =>
        work(timer).pipe(
          Effect.catch((error) => Effect.logWarning(`payment of order ${timer.key}: ${error.message}; its timer comes again`)),
          Effect.ensuring(permits.release(1)),
          Effect.forkIn(scope),
        );
      const callAll: TimerPump.Handle<Payments | PaymentProvider> = (timers) =>
        Effect.forEach(timers, (timer) => Effect.uninterruptibleMask((restore) => Effect.andThen(restore(permits.take(1)), call(timer))), {
          discard: true,
        });
      return TimerPump.layer(NAME, callAll, TimerPump.LEASE_MS, atMost);
    }),
  );

/** Publishes what it decided. */
export const relay = (concurrency: Concurrency.Concurrency) =>
  Layer.merge(OutboxRelay.layerWith(concurrency.relay), OutboxMonitor.layer("checkout"));

/** Calls the provider, and forgets what is old. */
export const worker = (concurrency: Concurrency.Concurrency) => Layer.merge(pump(concurrency.worker.timersMax), Retention.layer);

export type Role = "relay" | "consumer" | "worker";

const byRole = { relay, consumer, worker };

/** The background work of a process with these roles. */
export const roles = (names: ReadonlyArray<Role>, concurrency: Concurrency.Concurrency = Concurrency.defaults) =>
  Layer.mergeAll(Layer.empty, ...names.map((name) => byRole[name](concurrency)));
