/**
 * The participants of the guide's shop, with books: units on the shelf, held, delivered, and money. A network that loses,
 * duplicates and reorders, and timers that fire when they like, as they are drawn.
 */
import { Result } from "effect";
import { Message, SagaDecider } from "@org/saga-core";
import { M, Shop } from "./sagas.ts";

type Data = Parameters<typeof Shop.onUndone>[1];
type Lines = Data["lines"];

export interface Fate {
  readonly soldOut: boolean;
  /** Cards that are declined, one after the other. */
  readonly declines: number;
  /** Refunds of everything that are refused before one is granted. */
  readonly refusals: number;
  /** By line: units that are not there when they are packed. */
  readonly short: ReadonlyArray<number>;
}

const catalogue = Message.catalogue(Object.values(M));
const commands = new Set(Object.values(M).flatMap(({ kind, type }) => (kind === "command" ? [type] : [])));

type Units = Map<string, number>;

const add = (units: Units, lines: Lines, sign: 1 | -1): void => {
  for (const { sku, quantity } of lines) units.set(sku, (units.get(sku) ?? 0) + sign * quantity);
};

export const priceOf = (lines: Lines): number => lines.reduce((sum, { price, quantity }) => sum + price * quantity, 0);

export class ShopWorld {
  readonly network: Array<Message.Envelope> = [];
  readonly shelf: Units = new Map();
  readonly held: Units = new Map();
  readonly delivered: Array<Lines[number]> = [];
  readonly money = { captured: 0, refunded: 0 };
  /** What was answered under each key: a key is done once, and not after its undo. */
  private readonly answers = new Map<string, Message.Draft>();
  private timer: { readonly token: string; readonly at: number } | null = null;
  private state: SagaDecider.Instance<Data> | null = null;
  private declined = 0;
  private refused = 0;
  private now = 1_000;
  private ids = 0;
  readonly lines: Lines;
  private readonly fate: Fate;

  constructor(lines: Lines, fate: Fate) {
    this.lines = lines;
    this.fate = fate;
    add(this.shelf, lines, 1);
    this.input({ _tag: "Start", id: "o", data: { order: "o", card: "1", lines, missing: [] }, now: this.now });
  }

  get instance(): SagaDecider.Instance<Data> {
    if (this.state === null) throw new Error("no instance");
    return this.state;
  }

  input(input: SagaDecider.Input<Data>): void {
    const [next, sends] = SagaDecider.transition(Shop, this.state, input);
    this.state = next;
    for (const send of sends) {
      if (send._tag === "Message") this.send(send.draft);
      if (send._tag === "Schedule") this.timer = send;
      if (send._tag === "Unschedule") this.timer = null;
    }
  }

  send(draft: Message.Draft): void {
    const nobody = { causationId: null, traceparent: null, tracestate: null };
    const meta = { id: `m-${(this.ids += 1)}`, occurredAt: this.now, correlationId: "o", ...nobody };
    this.network.push(Result.getOrThrow(Message.decode(catalogue, Message.stamp(draft, meta))));
  }

  deliver(index: number, copy = false): void {
    const [envelope] = copy ? this.network.slice(index, index + 1) : this.network.splice(index, 1);
    if (envelope === undefined) return;
    this.now += 1;
    if (commands.has(envelope.type)) this.participate(envelope);
    else this.input({ _tag: "Reply", envelope, now: this.now });
  }

  lose(index: number): void {
    this.network.splice(index, 1);
  }

  fire(): void {
    if (this.timer === null) return;
    const { at, token } = this.timer;
    this.timer = null;
    this.now = Math.max(this.now + 1, at);
    this.input({ _tag: "Timer", name: SagaDecider.WAKE_TIMER, token, now: this.now });
  }

  cancel(): void {
    this.input({ _tag: "Cancel", by: "user", now: this.now });
  }

  /** The buyer names another card. */
  changeCard(): void {
    this.send(M.CardChanged.draft({ order: "o", card: "2" }));
  }

  /** Without faults until nothing moves any more; a person looks after refunds that were refused. */
  settle(): void {
    for (let turn = 0; turn < 10_000; turn += 1) {
      if (this.network.length > 0) this.deliver(0);
      else if (this.instance.status === "compensationFailed") this.input({ _tag: "Resume", by: "ada", note: "mended", now: this.now });
      else if (SagaDecider.isAtRest(this.instance)) return;
      else this.fire();
    }
    throw new Error(`it does not come to rest: ${JSON.stringify(this.instance)}`);
  }

  private participate(command: Message.Envelope): void {
    const key = command.stepKey ?? "";
    const isUndo = (M.Release.is(command) && key.includes(":reserve:")) || (M.Refund.is(command) && key.includes(":pay:"));
    const id = isUndo ? `${key}/undo` : key;
    const known = this.answers.get(id);
    const say = (draft: Message.Draft): void => this.send({ ...draft, stepKey: key, saga: command.saga });
    if (M.AskPayment.is(command)) return say(known ?? M.NoPayment.draft({ order: "o" }));
    if (known !== undefined) return say(known);
    const draft = isUndo ? this.undo(command, this.answers.get(key)) : this.do(command, this.answers.has(`${key}/undo`));
    if (draft === null) return;
    // A refund that was refused is no end of it.
    if (draft.type !== M.RefundRefused.type) this.answers.set(id, draft);
    say(draft);
  }

  /** `isUndone`: its undo was here before, so it will not be done (tombstone). Null: nobody waits for an answer. */
  private do(command: Message.Envelope, isUndone: boolean): Message.Draft | null {
    const { short, soldOut } = this.fate;
    if (M.CheckFraud.is(command)) return M.Harmless.draft({ order: "o" });
    if (M.Reserve.is(command)) {
      if (soldOut || isUndone) return M.SoldOut.draft({ order: "o" });
      this.move(command.body.lines, this.shelf, this.held);
      return M.Reserved.draft({ order: "o" });
    }
    if (M.Pay.is(command)) {
      if (isUndone || this.declined++ < this.fate.declines) return M.Declined.draft({ order: "o" });
      this.money.captured += command.body.amount;
      return M.Paid.draft({ order: "o" });
    }
    if (M.Pack.is(command)) {
      const { lines } = command.body;
      const missing = lines.map((line, index) => ({ ...line, quantity: Math.min(line.quantity, short[index] ?? 0) }));
      const there = lines.map((line, index) => ({ ...line, quantity: line.quantity - (missing[index]?.quantity ?? 0) }));
      if (there.every(({ quantity }) => quantity === 0)) return M.CannotPack.draft({ order: "o" });
      add(this.held, there, -1);
      this.delivered.push(...there);
      return M.Packed.draft({ order: "o", missing: missing.filter(({ quantity }) => quantity > 0) });
    }
    if (M.Release.is(command)) {
      this.move(command.body.lines, this.held, this.shelf);
      return M.Released.draft({ order: "o" });
    }
    if (!M.Refund.is(command)) return null;
    this.money.refunded += command.body.amount;
    return M.Refunded.draft({ order: "o" });
  }

  private undo(command: Message.Envelope, done: Message.Draft | undefined): Message.Draft | null {
    if (M.Release.is(command)) {
      if (done?.type === M.Reserved.type) this.move(command.body.lines, this.held, this.shelf);
      return M.Released.draft({ order: "o" });
    }
    if (!M.Refund.is(command)) return null;
    if (this.refused++ < this.fate.refusals) return M.RefundRefused.draft({ order: "o" });
    if (done?.type === M.Paid.type) this.money.refunded += command.body.amount;
    return M.Refunded.draft({ order: "o" });
  }

  private move(lines: Lines, from: Units, to: Units): void {
    add(from, lines, -1);
    add(to, lines, 1);
  }
}
