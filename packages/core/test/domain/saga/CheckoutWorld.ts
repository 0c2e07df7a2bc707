/**
 * A world in miniature around the pure coordinator: idempotent participants, a network that loses, duplicates and
 * reorders, timers that fire when they like. Everything is drawn from one list of numbers, so a run repeats exactly.
 */
import { Result } from "effect";
import { Checkout, CheckoutMessages as M, Coordinator, Decider, Message, Order, SagaDecider } from "@org/saga-core";
import { orderId, place } from "../Fixtures.ts";
import { type Fate, Participants } from "./CheckoutParticipants.ts";

export { type Fate, lucky } from "./CheckoutParticipants.ts";

export const definition = Checkout.make({ holdTtlMillis: 3_600_000 });

const coordination = { definition, decider: Order.decider, command: Checkout.orderCommand };

export class World extends Participants {
  state: Coordinator.State<Checkout.Data, Order.State> = { saga: null, aggregate: null };
  readonly network: Array<Message.Envelope> = [];
  readonly timers = new Map<string, { readonly token: string; readonly at: number }>();
  /** What was written of timers. */
  readonly wrote = { scheduled: 0, removed: 0 };
  readonly statuses: Array<string> = [];
  private ids = 0;
  private now = 1_000;

  constructor(fate: Fate, cancelPolicy: Order.CancelPolicy = "compensating") {
    super(fate);
    const placed = Decider.run(Order.decider, null, place({ cancelPolicy, now: this.now }));
    if (Result.isFailure(placed)) throw new Error("fixture");
    const [event] = placed.success.events;
    if (event?._tag !== "Placed") throw new Error("fixture");
    this.state = { saga: null, aggregate: placed.success.state };
    this.input({ _tag: "Start", id: orderId, data: Checkout.dataOf(event), now: this.now });
  }

  get status(): Order.Order["status"] | undefined {
    return this.state.aggregate?.status;
  }

  get saga(): SagaDecider.Instance<Checkout.Data> {
    if (this.state.saga === null) throw new Error("no saga");
    return this.state.saga;
  }

  input(input: SagaDecider.Input<Checkout.Data>): void {
    const driven = Coordinator.drive(coordination, this.state, input);
    this.state = driven.state;
    for (const draft of driven.drafts) this.send(draft);
    for (const timer of driven.timers) {
      this.wrote[timer._tag === "Schedule" ? "scheduled" : "removed"] += 1;
      if (timer._tag === "Schedule") this.timers.set(timer.name, timer);
      else this.timers.delete(timer.name);
    }
    if (this.status !== undefined && this.statuses.at(-1) !== this.status) this.statuses.push(this.status);
  }

  send(draft: Message.Draft): void {
    this.ids += 1;
    const meta = {
      id: `m-${this.ids}`,
      occurredAt: this.now,
      correlationId: orderId,
      causationId: null,
      traceparent: null,
      tracestate: null,
    };
    const read = Message.decode(M.catalogue, Message.stamp(draft, meta));
    if (Result.isFailure(read)) throw new Error(read.failure.detail);
    this.network.push(read.success);
  }

  /** Delivers the message at `index`; `copy` leaves it in the network for another time. */
  deliver(index: number, copy = false): void {
    const [envelope] = copy ? this.network.slice(index, index + 1) : this.network.splice(index, 1);
    if (envelope === undefined) return;
    this.now += 1;
    if (definition.awaits.some((type) => type.type === envelope.type)) this.input({ _tag: "Reply", envelope, now: this.now });
    else this.participate(envelope);
  }

  lose(index: number): void {
    this.network.splice(index, 1);
  }

  /** Fires the timer in its time, or at once: somebody moved it. */
  fire(moved = false): void {
    const timer = this.timers.get(SagaDecider.WAKE_TIMER);
    if (timer === undefined) return;
    this.now = moved ? this.now + 1 : Math.max(this.now + 1, timer.at);
    // Its row is removed with its decision.
    this.timers.delete(SagaDecider.WAKE_TIMER);
    this.stale(SagaDecider.WAKE_TIMER, timer.token);
  }

  /** A firing that may be out of date. */
  stale(name: string, token: string): void {
    this.input({ _tag: "Timer", name, token, now: this.now });
  }

  cancel(): boolean {
    const before = this.saga.status;
    this.now += 1;
    this.input({ _tag: "Cancel", by: "user", now: this.now });
    return before === "running" && this.saga.status !== "running";
  }

  /** Without faults until nothing moves any more. */
  settle(): void {
    for (let step = 0; step < 10_000; step++) {
      if (this.network.length > 0) this.deliver(0);
      else if (this.timers.size === 0) return;
      else this.fire();
    }
    throw new Error("it does not come to rest");
  }
}
