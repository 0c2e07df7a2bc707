/**
 * The checkout where nobody coordinates, in miniature: each service reacts by its own row; the network holds one copy of an
 * event for every service that hears it, and delivers as it is told.
 */
import { Result } from "effect";
import {
  Checkout,
  CheckoutMessages as M,
  ChoreographyReactions as Reactions,
  Coordinator,
  Decider,
  Message,
  Order,
  Saga,
  type SagaDecider,
} from "@org/saga-core";
import { orderId, place } from "../../Fixtures.ts";
import { type Fate, Participants } from "../CheckoutParticipants.ts";

export const definition = Checkout.make({ holdTtlMillis: 3_600_000 });
export const choreography = Saga.choreograph(definition, Checkout.distribution);

type Row = Reactions.Row<Checkout.Data>;
type Input = Reactions.Input<Checkout.Data>;

const catalogue = Message.catalogue([...M.catalogue.types.values(), ...choreography.home.protocol.types]);

export interface Letter {
  /** Null: the participant who does the command. */
  readonly to: string | null;
  readonly envelope: Message.Envelope;
}

export class ChoreographedWorld extends Participants {
  readonly rows = new Map<string, Row>();
  order: Order.State;
  readonly network: Array<Letter> = [];
  readonly timers = new Map<string, { readonly service: string; readonly name: string; readonly token: string; readonly at: number }>();
  readonly statuses: Array<string> = [];
  private ids = 0;
  private now = 1_000;

  constructor(fate: Fate, cancelPolicy: Order.CancelPolicy = "compensating") {
    super(fate);
    const placed = Decider.run(Order.decider, null, place({ cancelPolicy, now: this.now }));
    if (Result.isFailure(placed)) throw new Error("fixture");
    const [event] = placed.success.events;
    if (event?._tag !== "Placed") throw new Error("fixture");
    this.order = placed.success.state;
    this.input(choreography.home.service, { _tag: "Start", id: orderId, data: Checkout.dataOf(event), now: this.now });
  }

  get status(): Order.Order["status"] | undefined {
    return this.order?.status;
  }

  row(service: string): Row {
    const row = this.rows.get(service);
    if (row === undefined) throw new Error(`${service} has heard of nothing`);
    return row;
  }

  input(service: string, input: Input): void {
    const projection = choreography.services.find((each) => each.service === service);
    if (projection === undefined) throw new Error(`no service ${service}`);
    const transition = (row: Row | null, next: Input) => Reactions.react(projection, row, orderId, next);
    const before = { saga: this.rows.get(service) ?? null, aggregate: this.order };
    const driven = Coordinator.driveBy(transition, { decider: Order.decider, command: Checkout.orderCommand }, before, input);
    if (driven.state.saga !== null) this.rows.set(service, driven.state.saga);
    this.order = driven.state.aggregate;
    for (const draft of driven.drafts) this.send(draft);
    for (const timer of driven.timers) {
      const key = `${service} ${timer.name}`;
      if (timer._tag === "Schedule") this.timers.set(key, { service, name: timer.name, token: timer.token, at: timer.at });
      else this.timers.delete(key);
    }
    if (this.status !== undefined && this.statuses.at(-1) !== this.status) this.statuses.push(this.status);
  }

  override send(draft: Message.Draft): void {
    this.ids += 1;
    const nobody = { causationId: null, traceparent: null, tracestate: null };
    const meta = { id: `m-${this.ids}`, occurredAt: this.now, correlationId: orderId, ...nobody };
    const read = Message.decode(catalogue, Message.stamp(draft, meta));
    if (Result.isFailure(read)) throw new Error(read.failure.detail);
    const envelope = read.success;
    if (catalogue.types.get(draft.type)?.kind === "command") this.network.push({ to: null, envelope });
    for (const { service, hears } of choreography.services) {
      if (hears.some(({ type }) => type === envelope.type)) this.network.push({ to: service, envelope });
    }
  }

  /** Delivers the letter at `index`; `copy` leaves it in the network for another time. */
  deliver(index: number, copy = false): void {
    const [letter] = copy ? this.network.slice(index, index + 1) : this.network.splice(index, 1);
    if (letter === undefined) return;
    this.now += 1;
    if (letter.to === null) this.participate(letter.envelope);
    else this.input(letter.to, { _tag: "Heard", envelope: letter.envelope, now: this.now });
  }

  lose(index: number): void {
    this.network.splice(index, 1);
  }

  /** Fires the timer at `index` in its time. */
  fire(index: number): void {
    const entry = [...this.timers].toSorted(([, left], [, right]) => left.at - right.at)[index];
    if (entry === undefined) return;
    const [key, { service, name, token, at }] = entry;
    this.timers.delete(key);
    this.now = Math.max(this.now + 1, at);
    this.input(service, { _tag: "Timer", name, token, now: this.now });
  }

  cancel(): void {
    this.now += 1;
    this.input(choreography.home.service, { _tag: "Cancel", by: "user", now: this.now });
  }

  repair(input: Extract<SagaDecider.Input<never>, { readonly _tag: "Resume" | "Resolve" }>): void {
    this.input(choreography.home.service, input);
  }

  /** Without faults until nothing moves any more. */
  settle(): void {
    for (let step = 0; step < 10_000; step++) {
      if (this.network.length > 0) this.deliver(0);
      else if (this.timers.size === 0) return;
      else this.fire(0);
    }
    throw new Error(`it does not come to rest: ${JSON.stringify(Object.fromEntries(this.rows))}`);
  }

  /** Where it came to. */
  get end(): ReadonlyArray<unknown> {
    const closed = [...this.rows.values()].every(({ isClosed }) => isClosed);
    return [this.status, this.order?.reason, this.stock, this.money, closed];
  }
}
