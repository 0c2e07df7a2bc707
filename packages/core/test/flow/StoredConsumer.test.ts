/** Store-then-process on memory adapters and a virtual clock: nothing is lost, nothing acts twice, a key keeps its order. */
import { Effect, Exit, Fiber, Layer, Logger, Metric, References } from "effect";
import { describe, expect, it } from "vitest";
import {
  Batch,
  CheckoutMessages as M,
  DeadLetters,
  FaultPoint,
  InboxPuller,
  InboxQueue,
  InboxWorker,
  Lock,
  MemoryBus,
  Message,
  MessageBus,
  MessageConsumer,
  OrderId,
  Responder,
  StoredConsumer,
  StoreError,
} from "@org/saga-core";
import { simulate } from "./Harness.ts";

const order = (n: number): OrderId => OrderId.make(`order-${n}`);

const command = (n: number, id: string): Message.Encoded =>
  Message.stamp(M.CommitStock.draft({ orderId: order(n) }, { stepKey: `${order(n)}:commit-stock:1`, saga: "checkout@1" }), {
    id,
    occurredAt: 1,
    correlationId: "c",
    causationId: null,
    traceparent: null,
    tracestate: null,
  });

/** Keeps what it saw; `fail` says what is wrong with a message. */
const recorder = (fail: (id: string, times: number) => StoredConsumer.Options<never>["handle"] | Batch.Failure | null = () => null) => {
  const seen: Array<string> = [];
  const handle: MessageConsumer.Options<never>["handle"] = (envelopes) =>
    Effect.sync(() =>
      envelopes.map(({ id }) => {
        seen.push(id);
        const failure = fail(id, seen.filter((other) => other === id).length);
        return failure === null || typeof failure === "function" ? Exit.succeed(null) : Exit.fail(failure);
      }),
    );
  return { seen, handle };
};

const options = <R>(
  handle: MessageConsumer.Options<R>["handle"],
  more: Partial<StoredConsumer.Options<R>> = {},
): StoredConsumer.Options<R> => ({
  group: "inventory",
  catalogue: M.catalogue,
  types: [M.CommitStock],
  handle,
  ...more,
});

const poisoned = new Batch.Poisoned({ mailbox: "m", detail: "a bug" });
const away = new StoreError({ reason: "Unavailable", operation: "x", message: "away" });

/** A broker with what is on it, a worker's consumer above it, for as long as `during` takes. */
const consuming = <A, E, R, R2>(
  broker: MemoryBus.Broker,
  consumer: Layer.Layer<never, never, R | MessageBus>,
  during: Effect.Effect<A, E, R2>,
) =>
  Effect.gen(function* () {
    const running = yield* Effect.forkChild(Layer.launch(Layer.provide(consumer, MemoryBus.layerOf(broker))));
    const answer = yield* during;
    yield* Fiber.interrupt(running);
    return answer;
  });

const brokerWith = (messages: ReadonlyArray<Message.Encoded>) =>
  Effect.gen(function* () {
    const broker = yield* MemoryBus.make();
    for (const topic of M.catalogue.topics) broker.ensure(topic);
    broker.append(messages);
    return broker;
  });

const letters = Effect.flatMap(DeadLetters, (deadLetters) => deadLetters.list("inventory", 100));
const backlog = Effect.flatMap(InboxQueue, (queue) => queue.backlog("inventory"));

describe("a stored consumer", () => {
  it("handles everything once, in order per key, puts aside what cannot be read, and skips other types", () => {
    simulate(() =>
      Effect.gen(function* () {
        const { seen, handle } = recorder();
        const all = [...Array(40).keys()].map((n) => command(n % 7, `m-${n}`));
        const broker = yield* brokerWith([
          ...all,
          { ...command(1, "broken"), payload: "{" },
          { ...command(2, "k".repeat(MessageConsumer.NAME_MAX + 1)) },
          { ...command(3, "other"), type: M.ShipStock.type },
        ]);
        yield* consuming(broker, StoredConsumer.layer(options(handle)), Effect.sleep(10_000));
        expect(seen.toSorted()).toEqual(all.map(({ id }) => id).toSorted());
        for (const n of [...Array(7).keys()]) {
          const ids = all.filter(({ key }) => key === order(n)).map(({ id }) => id);
          expect(seen.filter((id) => ids.includes(id))).toEqual(ids);
        }
        expect((yield* letters).map(({ problem }) => problem).toSorted()).toEqual(["malformedJson", "nameTooLong"]);
        expect((yield* backlog).unprocessed).toBe(0);
        expect(broker.lag("inventory")).toBe(0);
      }),
    );
  });

  it("keeps records that are no messages, by their position", () => {
    simulate(() =>
      Effect.gen(function* () {
        const { handle } = recorder();
        const store = InboxPuller.storeBatch(options(handle), 1);
        const position = { topic: "inventory.commands", partition: 2, offset: 7 };
        expect(yield* store([{ _tag: "Foreign", position, topic: "inventory.commands", problem: "notCloudEvent" }])).toBe("Stored");
        expect(yield* InboxWorker.workOnce(options(handle))).toBe(1);
        expect(yield* letters).toMatchObject([
          { problem: "notCloudEvent", position: "inventory.commands/2/7", attempts: 1, message: { id: "inventory.commands/2/7" } },
        ]);
      }),
    );
  });

  it("offers a message of a version that it does not know again and again, never as a dead letter, while other keys go on", () => {
    simulate(() =>
      Effect.gen(function* () {
        const foreign = new Batch.LeftAlone({ mailbox: "m", detail: "of version 2" });
        let isKnown = false;
        const { seen, handle } = recorder((id) => (id === "m-1" && !isKnown ? foreign : null));
        const broker = yield* brokerWith([command(1, "m-1"), command(1, "m-2"), command(2, "m-3")]);
        const attempts = 2 * InboxWorker.ATTEMPTS_MAX;
        yield* consuming(
          broker,
          StoredConsumer.layer(options(handle)),
          Effect.gen(function* () {
            yield* Effect.sleep((attempts + 1) * InboxWorker.ELSEWHERE_MS);
            expect(seen.filter((id) => id === "m-1").length).toBeGreaterThanOrEqual(attempts);
            expect([seen.includes("m-2"), seen.includes("m-3")]).toEqual([false, true]);
            isKnown = true;
            yield* Effect.sleep(2 * InboxWorker.ELSEWHERE_MS);
          }),
        );
        expect([seen.includes("m-2"), yield* letters, (yield* backlog).unprocessed]).toEqual([true, [], 0]);
      }),
    );
  });

  it("tries a poisonous message again, later each time, with its key waiting; then it is dead and its followers go on", () => {
    simulate(() =>
      Effect.gen(function* () {
        const { seen, handle } = recorder((id) => (id === "bad" ? poisoned : null));
        const broker = yield* brokerWith([command(1, "bad"), command(1, "next"), command(2, "other"), command(1, "last")]);
        const consumer = StoredConsumer.layer(options(handle, { attemptsMax: 4, backoff: { firstMillis: 10_000, maxMillis: 20_000 } }));
        const during = Effect.gen(function* () {
          yield* Effect.sleep(5_000);
          expect(seen.toSorted()).toEqual(["bad", "other"]);
          expect(yield* backlog).toMatchObject({ unprocessed: 3, failed: 1 });
          // 10, 20 and 20 seconds.
          yield* Effect.sleep(40_000);
          expect(seen.filter((id) => id === "bad").length).toBe(3);
          expect(seen).not.toContain("next");
          yield* Effect.sleep(20_000);
        });
        yield* consuming(broker, consumer, during);
        expect(seen.filter((id) => id !== "other")).toEqual(["bad", "bad", "bad", "bad", "next", "last"]);
        expect(yield* letters).toMatchObject([
          { message: { id: "bad" }, problem: "poisoned", detail: "m cannot handle this item: a bug", attempts: 4 },
        ]);
        expect((yield* backlog).unprocessed).toBe(0);
      }),
    );
  });

  it("logs of a failed message its id and type, and what is known not to quote it", () => {
    const logged: Array<string> = [];
    const logger = Logger.make(({ message }) => void logged.push(String(message)));
    const failures: Readonly<Record<string, Exit.Exit<never, Batch.Failure>>> = {
      defect: Exit.fail(new Batch.Poisoned({ mailbox: "m", detail: "it quotes secret", said: "a defect (TypeError)" })),
      died: Exit.die(new RangeError("it quotes secret")),
      refused: Exit.fail(Batch.refused("m", "SQLSTATE 23505 unique_violation")),
    };
    simulate(() =>
      Effect.gen(function* () {
        const handle: MessageConsumer.Options<never>["handle"] = (envelopes) =>
          Effect.succeed(envelopes.map(({ id }) => failures[id] ?? Exit.succeed(null)));
        const store = InboxPuller.storeBatch(options(handle), 1);
        const names = Object.keys(failures);
        const position = (offset: number) => ({ topic: "inventory.commands", partition: 0, offset });
        yield* store(names.map((id, n) => ({ _tag: "Readable", position: position(n), message: command(n, id) })));
        for (let attempt = 1; attempt <= 2; attempt += 1) {
          while ((yield* InboxWorker.workOnce(options(handle, { attemptsMax: 2 }))) > 0);
          yield* Effect.sleep(InboxWorker.BACKOFF_MS);
        }
        expect((yield* letters).filter(({ detail }) => detail.includes("secret"))).toHaveLength(2);
      }).pipe(Effect.provideService(References.MinimumLogLevel, "Warn"), Effect.provide(Logger.layer([logger]))),
    );
    const of = (id: string, said: string) => {
      const failed = (attempt: number) => `inventory: message ${id} (${M.CommitStock.type}) failed, attempt ${attempt}: ${said}`;
      return [`${failed(1)}; again in ${InboxWorker.BACKOFF_MS} ms`, `${failed(2)}; put aside`];
    };
    const [place = ""] = /at [^\n]*StoredConsumer\.test\.ts:\d+:\d+\)?(?=\))/.exec(logged.join("\n")) ?? [];
    expect(logged.toSorted()).toEqual([
      ...of("defect", "a defect (TypeError)"),
      ...of("died", `a defect (RangeError ${place})`),
      ...of("refused", "SQLSTATE 23505 unique_violation"),
    ]);
  });

  it("goes on with the key, too, where the policy says follow", () => {
    simulate(() =>
      Effect.gen(function* () {
        const { seen, handle } = recorder((id, times) => (id === "bad" && times < 3 ? poisoned : null));
        const broker = yield* brokerWith([command(1, "bad"), command(1, "next")]);
        const consumer = StoredConsumer.layer(options(handle, { policy: "follow", backoff: { firstMillis: 10_000, maxMillis: 10_000 } }));
        yield* consuming(
          broker,
          consumer,
          Effect.andThen(
            Effect.sleep(5_000),
            Effect.sync(() => expect(seen).toContain("next")),
          ),
        );
        yield* consuming(broker, consumer, Effect.sleep(60_000));
        expect(seen).toEqual(["bad", "next", "bad", "bad"]);
        expect(yield* letters).toEqual([]);
      }),
    );
  });

  it("counts an outage as no attempt, whoever is handled before it stays so", () => {
    simulate(() =>
      Effect.gen(function* () {
        let isAway = true;
        const { seen, handle } = recorder((id) => (isAway && id !== "early" ? away : null));
        const broker = yield* brokerWith([command(1, "early"), command(1, "late")]);
        const during = Effect.gen(function* () {
          yield* Effect.sleep(60_000);
          expect(yield* backlog).toMatchObject({ unprocessed: 1, failed: 0 });
          isAway = false;
          yield* Effect.sleep(10_000);
        });
        yield* consuming(broker, StoredConsumer.layer(options(handle, { attemptsMax: 2 })), during);
        expect(seen.filter((id) => id === "early")).toEqual(["early"]);
        expect(seen.filter((id) => id === "late").length).toBeGreaterThan(2);
        expect(yield* letters).toEqual([]);
        expect((yield* backlog).unprocessed).toBe(0);
      }),
    );
  });

  it("meets a Duplicate after a crash between the handler's commit and the mark: one effect", () => {
    simulate(({ database }) =>
      Effect.gen(function* () {
        const handle = Responder.handle({
          name: "inventory",
          respond: (envelopes) =>
            Effect.succeed(envelopes.map((each) => [Responder.reply(M.StockCommitted, { orderId: OrderId.make(each.key) }, each)])),
        });
        const store = InboxPuller.storeBatch(options(handle), 1);
        const position = { topic: "inventory.commands", partition: 0, offset: 0 };
        yield* store([{ _tag: "Readable", position, message: command(1, "m-1") }]);
        const crash: FaultPoint.Handler = (name) => (name === "InboxQueue.process.afterHandle" ? Effect.die("killed") : Effect.void);
        const crashed = yield* Effect.exit(Effect.provideService(InboxWorker.workOnce(options(handle)), FaultPoint.Handler, crash));
        expect(Exit.isFailure(crashed)).toBe(true);
        expect(database.outboxPending.committed.size).toBe(1);
        expect((yield* backlog).unprocessed).toBe(1);
        expect(yield* InboxWorker.workOnce(options(handle))).toBe(1);
        expect(database.outboxPending.committed.size).toBe(1);
        expect((yield* backlog).unprocessed).toBe(0);
      }),
    );
  });

  it("tells by its gauges what waits, what failed, and since when", () => {
    simulate(() =>
      Effect.gen(function* () {
        const { handle } = recorder((id) => (id === "bad" ? poisoned : null));
        const store = InboxPuller.storeBatch(options(handle), 1);
        const at = (offset: number) => ({ topic: "inventory.commands", partition: 0, offset });
        yield* store([
          { _tag: "Readable", position: at(0), message: command(1, "bad") },
          { _tag: "Readable", position: at(1), message: command(1, "next") },
        ]);
        yield* InboxWorker.workOnce(options(handle));
        yield* Effect.sleep(2_000);
        yield* InboxWorker.gauge("inventory");
        const values = (yield* Metric.snapshot).flatMap(({ attributes, id, state, type }) =>
          type === "Gauge" && attributes?.["consumer"] === "inventory" ? [[id, Number(state.value)] as const] : [],
        );
        expect(Object.fromEntries(values)).toEqual({
          saga_inbox_unprocessed: 2,
          saga_inbox_failed: 1,
          saga_inbox_oldest_age_seconds: 2,
        });
      }),
    );
  });

  it("says how long it tries, for the retention of the inbox", () => {
    expect(InboxWorker.retriesMillis()).toBe(511_000);
    expect(InboxWorker.retriesMillis({ attemptsMax: 4, backoff: { firstMillis: 10, maxMillis: 20 } })).toBe(50);
  });
});

describe("pullers", () => {
  const topics = ["inventory.commands"];

  it("are one at a time: the second one takes over when the first one is gone, and goes on where it was", () => {
    simulate(() =>
      Effect.gen(function* () {
        const { seen, handle } = recorder();
        const broker = yield* brokerWith([]);
        const puller = (name: string) =>
          Layer.launch(Layer.provide(InboxPuller.layer(options(handle)), MemoryBus.layerOf(broker))).pipe(
            Effect.annotateLogs("puller", name),
          );
        const first = yield* Effect.forkChild(puller("first"));
        yield* Effect.sleep(100);
        yield* Effect.forkChild(puller("second"));
        broker.append([...Array(10).keys()].map((n) => command(n, `a-${n}`)));
        yield* Effect.sleep(2_000);
        expect(broker.lag("inventory")).toBe(0);
        yield* Fiber.interrupt(first);
        broker.append([...Array(10).keys()].map((n) => command(n, `b-${n}`)));
        yield* Effect.sleep(InboxPuller.LEASE_MS);
        expect(broker.lag("inventory")).toBe(0);
        expect((yield* backlog).unprocessed).toBe(20);
        while ((yield* InboxWorker.workOnce(options(handle))) > 0);
        expect(new Set(seen).size).toBe(20);
        expect(seen.length).toBe(20);
      }),
    );
  });

  it.each(["is another's", "cannot be renewed"])("stop consuming when the lease %s", (what) => {
    simulate(() =>
      Effect.gen(function* () {
        const { handle } = recorder();
        const lock = yield* Lock;
        let begins = 0;
        const losing: Lock["Service"] = {
          ...lock,
          // Once, then never again.
          acquire: (...asked) => Effect.suspend(() => ((begins += 1) === 1 ? lock.acquire(...asked) : Effect.succeed(null))),
          renew: () => (what === "cannot be renewed" ? Effect.fail(away) : Effect.succeed("Lost")),
        };
        const broker = yield* brokerWith([command(1, "before")]);
        const pulling = InboxPuller.pass(options(handle)).pipe(
          Effect.provideService(Lock, losing),
          Effect.provide(MemoryBus.layerOf(broker)),
        );
        const running = yield* Effect.forkChild(pulling);
        yield* Effect.sleep(1_000);
        expect(broker.lag("inventory")).toBe(0);
        yield* Effect.sleep(InboxPuller.LEASE_MS);
        // The group has no member left: what comes is nobody's.
        broker.append([command(1, "after")]);
        yield* Effect.sleep(5_000);
        expect(broker.lag("inventory")).toBe(1);
        expect(begins).toBeGreaterThan(1);
        yield* Fiber.interrupt(running);
      }),
    );
  });

  it("that were overtaken are refused by the fence: their batch is not stored, not acknowledged, and they stop", () => {
    simulate(() =>
      Effect.gen(function* () {
        const { handle } = recorder();
        const broker = yield* brokerWith([command(1, "m-1")]);
        yield* InboxPuller.storeBatch(
          options(handle),
          9,
        )([{ _tag: "Readable", position: { topic: topics[0] ?? "", partition: 0, offset: 100 }, message: command(9, "newer") }]);
        yield* InboxPuller.pull(options(handle), 8).pipe(Effect.provide(MemoryBus.layerOf(broker)));
        expect((yield* backlog).unprocessed).toBe(1);
        expect(broker.lag("inventory")).toBe(1);
      }),
    );
  });

  it("that die between store and acknowledgement leave a batch that comes again, and is stored once", () => {
    simulate(() =>
      Effect.gen(function* () {
        const { seen, handle } = recorder();
        const broker = yield* brokerWith([...Array(20).keys()].map((n) => command(n, `m-${n}`)));
        const crash: FaultPoint.Handler = (name) => (name === "MessageBus.consume.afterHandle" ? Effect.die("killed") : Effect.void);
        const bus = MemoryBus.layerOf(broker);
        yield* Effect.exit(
          Effect.timeoutOption(InboxPuller.pull(options(handle), 1), 1_000).pipe(
            Effect.provide(bus),
            Effect.provideService(FaultPoint.Handler, crash),
          ),
        );
        const stored = (yield* backlog).unprocessed;
        expect(stored).toBeGreaterThan(0);
        expect(broker.lag("inventory")).toBe(20);
        yield* consuming(broker, StoredConsumer.layer(options(handle)), Effect.sleep(20_000));
        expect(seen.toSorted()).toEqual([...Array(20).keys()].map((n) => `m-${n}`).toSorted());
      }),
    );
  });
});
