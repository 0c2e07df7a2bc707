/** A provider of payments that charges whenever it is told to, keys or not; and a participant that charges through it. */
import { Clock, Effect, Exit, Random, Schema } from "effect";
import { type MemoryDatabase, Message, Participant } from "@org/saga-core";
import { Simulator } from "@org/saga-core/testing";

const Ref = Schema.Struct({ id: Schema.String });
const topic = { topic: "payment.commands", key: ({ id }: { readonly id: string }) => id };
export const Charge = Message.command("payment.charge.v1", Ref, topic);
export const Charged = Message.event("payment.charged.v1", Ref, topic);
export const Declined = Message.event("payment.declined.v1", Ref, topic);
export const Refund = Message.command("payment.refund.v1", Ref, topic);
export const Refunded = Message.event("payment.refunded.v1", Ref, topic);
export const RefundRefused = Message.event("payment.refund-refused.v1", Ref, topic);

export const LIMIT_MS = 2_000;
export const SETTLES_WITHIN_MS = 3_000;

/** What becomes of one call. `lost`: done, and nobody hears of it. `late`: done after the caller has given up. */
export type Fate = "done" | "declined" | "away" | "lost" | "late" | "hangs";

export class Provider {
  /** Every charge and refund, by its key: nothing is deduplicated here. */
  readonly made: Array<string> = [];
  readonly declined = new Set<string>();
  calls = 0;
  probes = 0;
  /** Under way at a time, at most. */
  peak = 0;
  private underWay = 0;
  private readonly fate: (n: number) => Effect.Effect<Fate>;

  constructor(fate: (n: number) => Effect.Effect<Fate>) {
    this.fate = fate;
  }

  count(key: string): number {
    return this.made.filter((each) => each === key).length;
  }

  readonly call = (key: string): Effect.Effect<"done" | "declined", string> =>
    Effect.acquireUseRelease(
      Effect.sync(() => {
        this.underWay += 1;
        this.peak = Math.max(this.peak, this.underWay);
      }),
      () => this.answer(key),
      () => Effect.sync(() => void (this.underWay -= 1)),
    );

  private readonly answer = Effect.fnUntraced({ self: this }, function* (key: string): Effect.fn.Return<"done" | "declined", string> {
    this.calls += 1;
    const fate = yield* this.fate(this.calls);
    yield* Simulator.faultPoint("Provider.call.before");
    if (fate === "away") return yield* Effect.fail("away");
    if (fate === "hangs") return yield* Effect.never;
    if (fate === "late") {
      // The request is on its way, whatever becomes of the caller.
      const arrives = Effect.andThen(
        Effect.sleep(LIMIT_MS + SETTLES_WITHIN_MS - 1),
        Effect.sync(() => this.made.push(key)),
      );
      yield* Effect.forkDetach(arrives);
      return yield* Effect.never;
    }
    if (fate === "declined") this.declined.add(key);
    else this.made.push(key);
    yield* Simulator.faultPoint("Provider.call.after");
    if (fate === "lost") return yield* Effect.fail("the answer was lost");
    return fate;
  });

  readonly find = Effect.fnUntraced({ self: this }, function* (key: string): Effect.fn.Return<"done" | "declined" | null> {
    this.probes += 1;
    yield* Simulator.faultPoint("Provider.find");
    if (this.made.includes(key)) return "done";
    return this.declined.has(key) ? "declined" : null;
  });
}

const charge = ({ id }: typeof Ref.Type, found: "done" | "declined") =>
  found === "done" ? Participant.done(Charged, { id }) : Participant.failed(Declined, { id });

const refund = ({ id }: typeof Ref.Type, found: "done" | "declined") =>
  found === "done" ? Participant.done(Refunded, { id }) : Participant.failed(RefundRefused, { id });

export const make = (provider: Provider, more: Partial<Participant.Options<never>> = {}) =>
  Participant.make({
    name: "payment",
    limit: LIMIT_MS,
    settlesWithin: SETTLES_WITHIN_MS,
    calls: [
      Participant.call(Charge, {
        perform: (body, key) => Effect.map(provider.call(key), (found) => charge(body, found)),
        probe: (body, key) => Effect.map(provider.find(key), (found) => found && charge(body, found)),
        undo: {
          type: Refund,
          perform: (body, key) => Effect.map(provider.call(key), (found) => refund(body, found)),
          probe: (body, key) => Effect.map(provider.find(key), (found) => found && refund(body, found)),
          nothing: ({ id }) => Participant.done(Refunded, { id }),
        },
      }),
    ],
    ...more,
  });

/** The command of a step, as it comes from the broker. */
export const envelope = (type: Message.MessageType<typeof Ref.Type>, id: string, copy = "1"): Message.Envelope => {
  const meta = { id: `${type.type}-${id}-${copy}`, type: type.type, topic: type.topic, key: id, occurredAt: 0, correlationId: id };
  const nobody = { causationId: null, traceparent: null, tracestate: null };
  return { ...meta, ...nobody, stepKey: stepKey(id), saga: "shop@1", body: { id } };
};

export const stepKey = (id: string): string => `${id}:pay:1`;

/** Hands a message over until it is committed. */
export const deliver = (participant: Participant.Participant, message: Message.Envelope): Effect.Effect<void> =>
  Effect.flatMap(participant.handle([message]), ([exit]) =>
    exit !== undefined && Exit.isSuccess(exit) ? Effect.void : Effect.andThen(Effect.sleep(100), deliver(participant, message)),
  );

/** `payment.charged.v1 o-1:pay:1 shop@1` */
export const answers = (database: MemoryDatabase.Database): ReadonlyArray<string> =>
  [...database.outboxPending.committed.values()].map(({ message }) => `${message.type} ${message.stepKey} ${message.saga}`);

export const nowMillis = Clock.currentTimeMillis;

export const oneOf = <A>(first: A, ...rest: ReadonlyArray<A>): Effect.Effect<A> =>
  Effect.map(Random.nextIntBetween(0, rest.length + 1), (index) => (index === 0 ? first : (rest[index - 1] ?? first)));
