import { Deferred, Effect, Exit, Layer, Result } from "effect";
import { describe, expect, it } from "vitest";
import {
  BusError,
  Batch,
  CheckoutMessages as M,
  CommandHandler,
  Inbox,
  Mailbox,
  Message,
  MessageBus,
  MessageConsumer,
  OrderId,
  Outbox,
  OUTBOX_SHARDS,
  OutboxRelay,
  Responder,
  Shard,
  StoreError,
  TimerPump,
  Timers,
  UnitOfWork,
  DeadLetters,
  type Delivery,
  type PublishVerdict,
  Worker,
} from "@org/saga-core";
import { busOf, simulate } from "./Harness.ts";

const order = (n: number): OrderId => OrderId.make(`order-${n}`);

const meta = (id: string) => ({ id, occurredAt: 1, correlationId: "c", causationId: null, traceparent: null, tracestate: null });

const command = (n: number, id = `m-${n}`): Message.Encoded =>
  Message.stamp(M.CommitStock.draft({ orderId: order(n) }, { stepKey: `${order(n)}:commit-stock:1`, saga: "checkout@1" }), meta(id));

const delivery = (message: Message.Encoded): Delivery => ({
  _tag: "Readable",
  position: { topic: "inventory.commands", partition: 0, offset: 7 },
  message,
});

const append = (messages: ReadonlyArray<Message.Encoded>) =>
  Effect.gen(function* () {
    const outbox = yield* Outbox;
    yield* (yield* UnitOfWork).commit(outbox.append(messages));
  });

describe("the outbox relay", () => {
  it("publishes everything pending once, in order per key, and rests when there is nothing", () => {
    simulate(() =>
      Effect.gen(function* () {
        const published: Array<string> = [];
        const bus = busOf((messages) => Effect.sync(() => messages.map(({ id }): PublishVerdict => (published.push(id), "Published"))));
        yield* append([command(1, "a"), command(2, "b"), command(1, "c")]);
        const drained = yield* OutboxRelay.drainOnce.pipe(Effect.provideService(MessageBus, bus));
        expect(drained).toBe(3);
        expect(published.filter((id) => id !== "b")).toEqual(["a", "c"]);
        expect(yield* OutboxRelay.drainOnce.pipe(Effect.provideService(MessageBus, bus))).toBe(0);
      }),
    );
  });

  it("drains every shard although one of them cannot be drained, and tells of it", () => {
    simulate(() =>
      Effect.gen(function* () {
        const published: Array<string> = [];
        const bus = busOf((messages) =>
          Effect.suspend(() => {
            if (messages.some(({ id }) => id === "stuck"))
              return Effect.fail(new BusError({ reason: "Unavailable", operation: "publish", message: "no such topic" }));
            // The broker takes a while: nobody interrupts it meanwhile.
            return Effect.as(Effect.sleep(50), messages).pipe(
              Effect.map((all) => all.map(({ id }): PublishVerdict => (published.push(id), "Published"))),
            );
          }),
        );
        const others = [...Array(20).keys()].map((n) => command(n + 2));
        yield* append([command(1, "stuck"), ...others]);
        const failure = yield* Effect.flip(OutboxRelay.drainOnce.pipe(Effect.provideService(MessageBus, bus)));
        expect(failure.message).toBe("no such topic");
        const stuck = Shard.of(order(1), OUTBOX_SHARDS);
        expect(others.filter(({ id, key }) => !published.includes(id) && Shard.of(key, OUTBOX_SHARDS) !== stuck)).toEqual([]);
        expect(published.length).toBeGreaterThan(15);
      }),
    );
  });

  it("publishes again what a broken broker may have missed, and parks what it refuses", () => {
    simulate(() =>
      Effect.gen(function* () {
        let calls = 0;
        const published: Array<string> = [];
        const bus = busOf((messages) =>
          Effect.suspend(() => {
            calls += 1;
            if (calls === 1) return Effect.fail(new BusError({ reason: "Unavailable", operation: "publish", message: "away" }));
            published.push(...messages.map(({ id }) => id));
            return Effect.succeed(messages.map(({ id }): PublishVerdict => (id === "big" ? "Refused" : "Published")));
          }),
        );
        yield* append([command(1, "small"), command(1, "big")]);
        yield* Effect.raceFirst(Layer.launch(Layer.provide(OutboxRelay.layer, Layer.succeed(MessageBus, bus))), Effect.sleep(5_000));
        expect(published).toEqual(["small", "big"]);
        expect(yield* (yield* Outbox).backlog).toEqual({ pending: 0, oldestAt: null, parked: 1, held: 0 });
      }),
    );
  });
});

describe("the timer pump", () => {
  it("hands over what is due; what was not completed comes again after its lease", () => {
    simulate(() =>
      Effect.gen(function* () {
        const timers = yield* Timers;
        const unitOfWork = yield* UnitOfWork;
        const timer = (name: string, dueAt: number) => ({ owner: "o", key: "k", name, token: "t", dueAt });
        const fired: Array<string> = [];
        const handle: TimerPump.Handle<never> = (due) =>
          Effect.gen(function* () {
            fired.push(...due.map(({ name }) => name));
            yield* unitOfWork.commit(timers.complete(due.filter(({ name }) => name !== "crashes" || fired.length > 2)));
          });
        yield* unitOfWork.commit(timers.schedule([timer("crashes", 0), timer("fine", 0), timer("later", 4_102_444_800_000)]));
        yield* Effect.raceFirst(Layer.launch(TimerPump.layer("o", handle, 2_000)), Effect.sleep(5_000));
        expect(fired.toSorted()).toEqual(["crashes", "crashes", "fine"]);
        expect((yield* timers.list("o", "k")).map(({ name }) => name)).toEqual(["later"]);
      }),
    );
  });

  it("rests between looks at a timer that is due by its own clock, and not yet by the database's", () => {
    simulate(() =>
      Effect.gen(function* () {
        const timers = yield* Timers;
        let looks = 0;
        const behind = { ...timers, claimDue: () => Effect.sync(() => ((looks += 1), [])), nextDueAt: () => Effect.succeed(1) };
        const pump = Effect.provideService(
          TimerPump.pass("o", () => Effect.void),
          Timers,
          behind,
        );
        yield* Effect.raceFirst(Effect.forever(pump), Effect.sleep(1_000));
        expect(looks).toBeLessThanOrEqual(1_000 / TimerPump.REST_MIN_MS + 1);
      }),
    );
  });

  it("fires a timer when it is due, not before", () => {
    simulate(() =>
      Effect.gen(function* () {
        const timers = yield* Timers;
        const unitOfWork = yield* UnitOfWork;
        const start = 1_767_225_600_000;
        yield* unitOfWork.commit(timers.schedule([{ owner: "o", key: "k", name: "n", token: "t", dueAt: start + 1_000 }]));
        let fired = 0;
        const pump = TimerPump.pass("o", (due) => Effect.sync(() => void (fired += due.length)), 60_000);
        yield* Effect.raceFirst(Effect.forever(pump), Effect.sleep(999));
        expect(fired).toBe(0);
        yield* Effect.raceFirst(Effect.forever(pump), Effect.sleep(300));
        expect(fired).toBe(1);
      }),
    );
  });
});

describe("a message consumer", () => {
  const options = (handle: MessageConsumer.Options<never>["handle"]): MessageConsumer.Options<never> => ({
    group: "inventory",
    catalogue: M.catalogue,
    types: [M.CommitStock],
    handle,
  });
  const failing = (failure: Mailbox.Failure) =>
    MessageConsumer.handleBatch(options((all) => Effect.succeed(all.map(() => Exit.fail(failure)))));

  it("hands over what it reads, skips other types, and puts aside what cannot be read or handled", () => {
    simulate(() =>
      Effect.gen(function* () {
        const seen: Array<string> = [];
        const consume = MessageConsumer.handleBatch(
          options((envelopes) =>
            Effect.succeed(
              envelopes.map(({ id }) => {
                seen.push(id);
                if (id === "bad") return Exit.fail(new Batch.Poisoned({ mailbox: "m", detail: "a bug" }));
                return id === "worse" ? Exit.die("thrown") : Exit.succeed(null);
              }),
            ),
          ),
        );
        yield* consume([
          delivery(command(1, "good")),
          delivery(command(2, "bad")),
          delivery(command(3, "worse")),
          delivery({ ...command(4, "broken"), payload: "{" }),
          delivery({ ...command(5, "other"), type: M.ShipStock.type }),
          {
            ...delivery(command(6, "x".repeat(MessageConsumer.NAME_MAX + 1))),
            position: { topic: "inventory.commands", partition: 0, offset: 8 },
          },
          {
            _tag: "Foreign",
            position: { topic: "inventory.commands", partition: 0, offset: 7 },
            topic: "inventory.commands",
            problem: "noCloudEvent",
          },
        ]);
        expect(seen).toEqual(["good", "bad", "worse"]);
        const letters = yield* (yield* DeadLetters).list("inventory", 10);
        expect(letters.map(({ message, problem }) => `${message.id} ${problem}`).toSorted()).toEqual([
          "bad poisoned",
          "broken malformedJson",
          "inventory.commands/0/7 noCloudEvent",
          "inventory.commands/0/8 nameTooLong",
          "worse poisoned",
        ]);
      }),
    );
  });

  it("lets the batch come again for an outage, an unknown outcome or a full mailbox: nobody's message is put aside", () => {
    simulate(() =>
      Effect.gen(function* () {
        const error = (reason: StoreError["reason"]) => new StoreError({ reason, operation: "x", message: "x" });
        for (const failure of [error("Unavailable"), error("Unknown"), new Mailbox.MailboxFull({ mailbox: "m", capacity: 1 })]) {
          const exit = yield* Effect.exit(failing(failure)([delivery(command(1))]));
          expect(Exit.isFailure(exit)).toBe(true);
        }
        expect(yield* (yield* DeadLetters).list("inventory", 10)).toEqual([]);
      }),
    );
  });

  it("puts aside what its handler says nothing about: nothing is acknowledged unhandled", () => {
    simulate(() =>
      Effect.gen(function* () {
        const forgetful = MessageConsumer.handleBatch(options(() => Effect.succeed([Exit.succeed(null)])));
        yield* forgetful([delivery(command(1, "handled")), delivery(command(2, "forgotten"))]);
        const letters = yield* (yield* DeadLetters).list("inventory", 10);
        const detail = "inventory cannot handle this item: its batch gave it no answer";
        expect(letters).toMatchObject([{ message: { id: "forgotten" }, problem: "poisoned", detail }]);
      }),
    );
  });

  it("subscribes to the topics of its types, and again after a failure", () => {
    simulate(() =>
      Effect.gen(function* () {
        const subscribed: Array<ReadonlyArray<string>> = [];
        const handled = yield* Deferred.make<void>();
        const bus = busOf(
          () => Effect.succeed([]),
          ({ topics }, handle) =>
            Effect.gen(function* () {
              subscribed.push(topics);
              if (subscribed.length === 1) return yield* new BusError({ reason: "Unavailable", operation: "consume", message: "away" });
              yield* handle([delivery(command(1))]);
              return yield* Effect.never;
            }),
        );
        const consumer = MessageConsumer.layer(
          options((envelopes) =>
            Effect.as(
              Deferred.succeed(handled, undefined),
              envelopes.map(() => Exit.succeed(null)),
            ),
          ),
        );
        yield* Effect.raceFirst(Layer.launch(Layer.provide(consumer, Layer.succeed(MessageBus, bus))), Deferred.await(handled));
        expect(subscribed).toEqual([["inventory.commands"], ["inventory.commands"]]);
      }),
    );
  });
});

describe("a responder", () => {
  it("acts before it answers, answers once, and acts again after a crash in between", () => {
    simulate(({ database }) =>
      Effect.gen(function* () {
        let acts = 0;
        const handle = Responder.handle({
          name: "inventory",
          respond: (envelopes) =>
            Effect.sync(() => {
              acts += 1;
              return envelopes.map((envelope) => [Responder.reply(M.StockCommitted, { orderId: OrderId.make(envelope.key) }, envelope)]);
            }),
        });
        const read = Message.decode(M.catalogue, command(1));
        if (Result.isFailure(read)) throw new Error("fixture");
        const inbox = yield* Inbox;
        const broken: Inbox["Service"] = {
          ...inbox,
          admit: () => Effect.fail(new StoreError({ reason: "Unknown", operation: "x", message: "x" })),
        };
        const [crashed] = yield* handle([read.success]).pipe(Effect.provideService(Inbox, broken));
        expect(crashed !== undefined && Exit.isFailure(crashed)).toBe(true);
        expect(yield* handle([read.success])).toEqual([Exit.succeed("Done")]);
        expect(yield* handle([read.success])).toEqual([Exit.succeed("Done")]);
        expect(acts).toBe(3);
        const replies = [...database.outboxPending.committed.values()].map(({ message }) => message);
        expect(replies).toMatchObject([
          { type: "inventory.committed.v1", stepKey: "order-1:commit-stock:1", saga: "checkout@1", causationId: "m-1", correlationId: "c" },
        ]);
      }),
    );
  });
});

describe("a worker", () => {
  it("goes on after failures, defects and interruptions from within, with pauses that grow and start over", () => {
    simulate(() =>
      Effect.gen(function* () {
        const outcomes = ["fail", "die", "interrupt", "ok", "fail"];
        const at: Array<number> = [];
        const start = yield* Effect.clockWith((clock) => clock.currentTimeMillis);
        const pass = Effect.gen(function* () {
          at.push((yield* Effect.clockWith((clock) => clock.currentTimeMillis)) - start);
          const outcome = outcomes.shift();
          if (outcome === "fail") return yield* Effect.fail(new Error("away"));
          if (outcome === "interrupt") return yield* Effect.interrupt;
          if (outcome === "die") return yield* Effect.die("not an error");
          return yield* outcome === "ok" ? Effect.sleep(1_000) : Effect.never;
        });
        yield* Effect.raceFirst(Worker.forever("w", pass), Effect.sleep(20_000));
        expect(at).toEqual([0, 100, 300, 700, 1_700, 1_800]);
      }),
    );
  });
});

describe("what is sent", () => {
  it("is nothing when there is nothing to send", () => {
    simulate(({ database }) =>
      Effect.gen(function* () {
        yield* (yield* UnitOfWork).commit(CommandHandler.sendAll([], 1));
        expect(database.outboxPending.committed.size).toBe(0);
      }),
    );
  });
});
