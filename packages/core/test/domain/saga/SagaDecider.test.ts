import { Schema } from "effect";
import { describe, expect, it } from "vitest";
import { Message, Saga, SagaDecider } from "@org/saga-core";

const Ref = Schema.Struct({ id: Schema.String });
const Card = Schema.Struct({ id: Schema.String, card: Schema.String });
const topic = { topic: "t", key: ({ id }: { readonly id: string }) => id };
const command = (name: string) => Message.command(`${name}.v1`, Ref, topic);
const event = (name: string) => Message.event(`${name}.v1`, Ref, topic);

const [Hold, Held, Drop, Dropped, DropRefused] = [command("hold"), event("held"), command("drop"), event("dropped"), event("drop-refused")];
const Pay = Message.command("pay.v1", Card, topic);
const [Paid, Busy, Declined] = [event("paid"), event("busy"), event("declined")];
const [AskPayment, NoPayment] = [command("ask-payment"), event("no-payment")];
const [Ship, Shipped] = [command("ship"), event("shipped")];
const CardChanged = Message.event("card-changed.v1", Card, topic);
const Approved = Message.event("approved.v1", Card, topic);

const Data = Schema.Struct({ id: Schema.String, card: Schema.String });
type Data = typeof Data.Type;

const ref = ({ id }: Data) => ({ id });
const data: Data = { id: "i", card: "old" };

const open = Saga.make("x", { version: 1, data: Data });
const hold = { send: Hold, with: ref, done: Held, undo: { send: Drop, with: ref, done: Dropped, refused: DropRefused }, timeout: 1_000 };
const pay = { send: Pay, with: (all: Data) => all, done: Paid, undo: { none: "nothing follows" }, timeout: 1_000 };
const declined = [
  Saga.failedBy(Declined, () => "declined"),
  Saga.failedBy(
    Busy,
    () => "busy",
    () => true,
  ),
];

type Definition = Saga.Definition<Data, never>;

/** An instance and what it asked for, by message type, key and time. */
class Run {
  instance: SagaDecider.Instance<Data> | null = null;
  asked: Array<string> = [];
  now = 0;
  private readonly definition: Definition;

  constructor(definition: Definition) {
    this.definition = definition;
    this.input({ _tag: "Start", id: "i", data, now: 0 });
  }

  get status(): SagaDecider.Status | undefined {
    return this.instance?.status;
  }

  input(input: SagaDecider.Input<Data>): this {
    this.asked = [];
    const [next, sends] = SagaDecider.transition(this.definition, this.instance, input);
    this.instance = next;
    for (const send of sends) if (send._tag === "Message") this.asked.push(`${send.draft.type} ${send.draft.stepKey}`);
    return this;
  }

  /** The answer to `step` in its present round; null: a signal. */
  tell<B>(type: Message.MessageType<B>, body: NoInfer<B>, step: string | null): this {
    if (this.instance === null) throw new Error("no instance");
    const nobody = { correlationId: "i", causationId: null, traceparent: null, tracestate: null };
    const stepKey = step === null ? null : SagaDecider.stepKey(this.instance, step);
    const envelope = { id: "m", type: type.type, topic: "t", key: "i", occurredAt: this.now, stepKey, saga: null, ...nobody, body };
    return this.input({ _tag: "Reply", envelope, now: this.now });
  }

  /** Lets the timer fire in its time. */
  fire(): this {
    const at = this.instance?.wakeAt ?? null;
    if (at === null) throw new Error("there is no timer");
    this.now = at;
    return this.input({ _tag: "Timer", name: SagaDecider.WAKE_TIMER, token: String(this.instance?.wakes), now: at });
  }
}

const id = { id: "i" };

describe("steps side by side", () => {
  const trip = open.pipe(
    Saga.parallel([Saga.step("flight", hold), Saga.step("hotel", hold)]),
    Saga.pivot("pay", { ...pay, failed: declined }),
  );

  it("begin together, and what comes next waits for both", () => {
    const run = new Run(trip);
    expect(run.asked).toEqual(["hold.v1 i:flight:1", "hold.v1 i:hotel:1"]);
    expect(run.tell(Held, id, "hotel").asked).toEqual([]);
    expect(run.tell(Held, id, "flight").asked).toEqual(["pay.v1 i:pay:1"]);
  });

  it("are undone together", () => {
    const run = new Run(trip).tell(Held, id, "hotel").tell(Held, id, "flight").tell(Declined, id, "pay");
    expect(run.asked.toSorted()).toEqual(["drop.v1 i:flight:1", "drop.v1 i:hotel:1"]);
    expect(run.tell(Dropped, id, "flight").status).toBe("compensating");
    expect(run.tell(Dropped, id, "hotel").status).toBe("compensated");
  });

  it("are asked again each in its time", () => {
    const run = new Run(trip);
    run.now = 500;
    run.tell(Held, id, "flight");
    expect(run.fire().asked).toEqual(["hold.v1 i:hotel:1"]);
  });
});

describe("a compensation that failed", () => {
  const saga = open.pipe(
    Saga.step("a", hold),
    Saga.parallel([Saga.step("b", hold), Saga.step("c", hold)]),
    Saga.pivot("pay", { ...pay, failed: declined }),
  );
  const failed = () =>
    new Run(saga).tell(Held, id, "a").tell(Held, id, "b").tell(Held, id, "c").tell(Declined, id, "pay").tell(DropRefused, id, "b");

  it("first undoes what does not wait for what was refused, and rests then", () => {
    const run = failed();
    expect(run.status).toBe("compensating");
    expect([run.tell(Dropped, id, "c").status, run.asked]).toEqual(["compensationFailed", []]);
  });

  it("is not interrupted by a cancel, and a resume asks for what is left, only that", () => {
    const run = failed().tell(Dropped, id, "c");
    const before = run.instance;
    expect(run.input({ _tag: "Cancel", by: "user", now: 5 }).instance).toBe(before);
    expect(run.input({ _tag: "Resume", by: "ada", note: "mended", now: 6 }).asked).toEqual(["drop.v1 i:b:1"]);
    expect(run.tell(Dropped, id, "b").asked).toEqual(["drop.v1 i:a:1"]);
    expect(run.tell(Dropped, id, "a").status).toBe("compensated");
    expect(run.instance?.audit).toEqual([{ at: 6, action: "resume", step: null, by: "ada", note: "mended" }]);
  });

  it("goes on without the undo that a person says was done by hand, and remembers who said so", () => {
    const run = failed().tell(Dropped, id, "c");
    expect(run.input({ _tag: "Resolve", step: "c", by: "ada", note: "no", now: 7 }).instance?.audit).toBeUndefined();
    expect(run.input({ _tag: "Resolve", step: "b", by: "ada", note: "called the hotel", now: 8 }).asked).toEqual(["drop.v1 i:a:1"]);
    expect(run.tell(Dropped, id, "a").status).toBe("compensated");
    expect(run.instance?.audit).toEqual([{ at: 8, action: "resolve", step: "b", by: "ada", note: "called the hotel" }]);
  });
});

describe("a failure", () => {
  const retry = { rounds: 2, first: 400, max: 400, jitter: 0.5 };
  const pivot = open.pipe(Saga.step("a", hold), Saga.pivot("pay", { ...pay, failed: declined, retry }));

  it("that is transient is tried again under a new key after a pause that the key spreads, and is terminal after the last round", () => {
    const run = new Run(pivot).tell(Held, id, "a").tell(Busy, id, "pay");
    const pause = (run.instance?.steps["pay"]?.dueAt ?? 0) - run.now;
    expect([pause > 200, pause <= 400]).toEqual([true, true]);
    while (run.asked.length === 0) run.fire();
    expect(run.asked).toEqual(["pay.v1 i:pay:2"]);
    expect(run.tell(Busy, id, "pay").asked).toEqual(["drop.v1 i:a:1"]);
  });

  it("that is terminal turns the saga around at once", () => {
    expect(new Run(pivot).tell(Held, id, "a").tell(Declined, id, "pay").asked).toEqual(["drop.v1 i:a:1"]);
  });

  it("waits for a signal before anything is undone, and asks under a new key with what it brought", () => {
    const patient = open.pipe(
      Saga.step("a", hold),
      Saga.pivot("pay", {
        ...pay,
        failed: declined,
        retryOnSignal: { signal: CardChanged, onSignal: (all, { card }) => ({ ...all, card }), within: 9_000 },
      }),
    );
    const changed = { id: "i", card: "new" };
    const waiting = new Run(patient).tell(Held, id, "a").tell(Declined, id, "pay");
    expect([waiting.status, waiting.asked, waiting.instance?.steps["pay"]?.status]).toEqual(["running", [], "waiting"]);
    expect(waiting.tell(CardChanged, changed, null).asked).toEqual(["pay.v1 i:pay:2"]);
    expect(waiting.instance?.data.card).toBe("new");
    // The webhook came before the reply that it is for.
    const early = new Run(patient).tell(Held, id, "a").tell(CardChanged, changed, null);
    expect([early.asked, early.instance?.data.card]).toEqual([[], "old"]);
    expect(early.tell(Declined, id, "pay").asked).toEqual(["pay.v1 i:pay:2"]);
    const late = new Run(patient).tell(Held, id, "a").tell(Declined, id, "pay");
    while (late.asked.length === 0) late.fire();
    expect([late.asked, late.instance?.failure]).toEqual([["drop.v1 i:a:1"], { step: "pay", reason: "declined" }]);
  });

  it("of a step after the pivot goes on without it where the definition says so", () => {
    const lenient = open.pipe(
      Saga.pivot("pay", pay),
      Saga.retriable("ship", { send: Ship, with: ref, done: Shipped, failed: [Saga.failedBy(Declined, () => "no")], otherwise: "goOn" }),
    );
    const run = new Run(lenient).tell(Paid, id, "pay").tell(Declined, id, "ship");
    expect([run.status, run.instance?.steps["ship"]?.status]).toEqual(["completed", "failed"]);
  });
});

describe("a call whose outcome is unknown", () => {
  const saga = open.pipe(
    Saga.step("a", hold),
    Saga.pivot("pay", { ...pay, failed: declined, probe: { send: AskPayment, with: ref, unseen: NoPayment } }),
  );

  it("is probed under its key, is not repeated before the probe says that it never arrived, and is never given up", () => {
    const run = new Run(saga).tell(Held, id, "a");
    while (run.asked.length === 0 || run.now < 20_000) run.fire();
    expect(run.asked).toEqual(["ask-payment.v1 i:pay:1"]);
    expect(run.tell(NoPayment, id, "pay").asked).toEqual(["pay.v1 i:pay:1"]);
    while (run.asked[0] !== "ask-payment.v1 i:pay:1") run.fire();
    expect([run.tell(Paid, id, "pay").status]).toEqual(["completed"]);
  });
});

describe("a signal", () => {
  const saga = open.pipe(
    Saga.step("a", hold),
    Saga.signal("approval", { on: Approved, onDone: (all, { card }) => ({ ...all, card }), timeout: 5_000, otherwise: "undo" }),
    Saga.pivot("pay", pay),
  );

  it("is waited for, and what follows has what it brought", () => {
    const run = new Run(saga).tell(Held, id, "a");
    expect(run.asked).toEqual([]);
    expect(run.tell(Approved, { id: "i", card: "new" }, null).asked).toEqual(["pay.v1 i:pay:1"]);
    expect(run.instance?.data.card).toBe("new");
  });

  it("that comes before its turn counts when its turn comes, the latest of them", () => {
    const run = new Run(saga).tell(Approved, { id: "i", card: "first" }, null).tell(Approved, { id: "i", card: "second" }, null);
    expect([run.asked, run.instance?.data.card]).toEqual([[], "old"]);
    expect(run.tell(Held, id, "a").asked).toEqual(["pay.v1 i:pay:1"]);
    expect(run.instance?.data.card).toBe("second");
  });

  it("that says no before its turn says so when its turn comes, unless another one says yes", () => {
    const strict = open.pipe(
      Saga.step("a", hold),
      Saga.signal("approval", { on: Approved, failed: [Saga.failedBy(Declined, () => "refused")], timeout: 5_000, otherwise: "undo" }),
      Saga.pivot("pay", pay),
    );
    const no = new Run(strict).tell(Declined, id, null);
    expect([no.status, no.tell(Held, id, "a").asked, no.instance?.failure?.reason]).toEqual(["running", ["drop.v1 i:a:1"], "refused"]);
    const yes = new Run(strict).tell(Declined, id, null).tell(Approved, { id: "i", card: "new" }, null);
    expect(yes.tell(Held, id, "a").asked).toEqual(["pay.v1 i:pay:1"]);
  });

  it("races its time: the first one counts", () => {
    const run = new Run(saga).tell(Held, id, "a");
    while (run.asked.length === 0) run.fire();
    expect([run.asked, run.now]).toEqual([["drop.v1 i:a:1"], 5_000]);
    expect(run.tell(Approved, { id: "i", card: "new" }, null).asked).toEqual([]);
  });
});

describe("a whole saga's deadline", () => {
  const saga = Saga.make("x", { version: 1, data: Data, deadline: 2_500 }).pipe(
    Saga.step("a", { ...hold, attempts: 9 }),
    Saga.pivot("pay", pay),
  );

  it("undoes what is not at its pivot by then", () => {
    const run = new Run(saga);
    while (run.status === "running") run.fire();
    expect([run.now, run.asked, run.instance?.failure]).toEqual([2_500, ["drop.v1 i:a:1"], { step: "a", reason: "deadline" }]);
  });

  it("does not touch what is", () => {
    const run = new Run(saga).tell(Held, id, "a");
    while (run.now < 10_000) run.fire();
    expect(run.status).toBe("running");
  });
});

describe("a condition", () => {
  it("that does not hold when its turn comes skips the step, and its undo", () => {
    const saga = open.pipe(
      Saga.step("a", { ...hold, when: ({ card }) => card === "gold" }),
      Saga.step("b", hold),
      Saga.pivot("pay", { ...pay, failed: declined }),
    );
    const run = new Run(saga);
    expect(run.asked).toEqual(["hold.v1 i:b:1"]);
    expect(run.tell(Held, id, "b").tell(Declined, id, "pay").asked).toEqual(["drop.v1 i:b:1"]);
    expect(run.tell(Dropped, id, "b").status).toBe("compensated");
  });
});
