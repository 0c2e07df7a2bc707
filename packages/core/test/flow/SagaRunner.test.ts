import { Cause, Effect, Exit, Result } from "effect";
import { describe, expect, it } from "vitest";
import {
  Aggregate,
  Checkout,
  CheckoutMessages as M,
  CommandHandler,
  Inbox,
  Mailbox,
  type MemoryDatabase,
  Message,
  type Order,
  OrderId,
  OrderStore,
  SagaRunner,
  SagaStore,
  Timers,
} from "@org/saga-core";
import { orderId, place } from "../domain/Fixtures.ts";
import { simulate } from "./Harness.ts";

const aggregate = SagaRunner.make(Checkout.make({ holdTtlMillis: 3_600_000 }));
const waiting = SagaRunner.make(Checkout.make({ holdTtlMillis: 3_600_000, cancelWindowMillis: 1_000 }));

type Input = Aggregate.Input<SagaRunner.Command>;

const placing = (policy: Order.CancelPolicy = "compensating", key?: string, fingerprint = "f"): Input =>
  Aggregate.request<SagaRunner.Command>(orderId, (now) => place({ cancelPolicy: policy, now }), {
    idempotency: key === undefined ? null : { scope: "customer-1", key, fingerprint },
    traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
  });

const cancel: Input = Aggregate.request<SagaRunner.Command>(orderId, (now) => ({ _tag: "Cancel", by: "user", now }));

const replyTo = <B>(type: Message.MessageType<B>, body: NoInfer<B>, step: string, id = `${type.type}-${step}`): Aggregate.MessageInput => {
  const meta = { id, occurredAt: 1, correlationId: orderId, causationId: null, traceparent: "tp", tracestate: "ts" };
  const read = Message.decode(M.catalogue, Message.stamp(type.draft(body, { stepKey: `${orderId}:${step}:1`, saga: "checkout@1" }), meta));
  if (Result.isFailure(read)) throw new Error(read.failure.detail);
  return { _tag: "Message", envelope: read.success };
};

const balanced = replyTo(M.BalanceSufficient, { orderId }, "check-balance");

const pending = (database: MemoryDatabase.Database): ReadonlyArray<Message.Encoded> =>
  [...database.outboxPending.committed.values()].map(({ message }) => message);

const types = (database: MemoryDatabase.Database): ReadonlyArray<string> => pending(database).map(({ type }) => type);

const answerOf = (handled: CommandHandler.Handled<SagaRunner.Answer> | undefined): unknown => {
  if (handled?._tag !== "Answered") return handled?._tag;
  const { answer, repeated } = handled;
  if (answer === null) return null;
  return [Result.isSuccess(answer) ? answer.success.status : answer.failure._tag, repeated];
};

const run = CommandHandler.runBatch(aggregate);

describe("a request", () => {
  it("commits order, history, saga, messages, timers and its answer in one transaction", () => {
    simulate(({ database }) =>
      Effect.gen(function* () {
        const [handled] = yield* run([placing("createdOnly", "key-1")]);
        expect(answerOf(handled)).toEqual(["pendingPayment", false]);
        expect(types(database)).toEqual(["order.created.v1", "order.status.changed.v1", "payment.check-balance.v1"]);
        for (const message of pending(database)) {
          expect(message).toMatchObject({ key: orderId, correlationId: orderId, causationId: null });
          expect(message.traceparent).toMatch(/^00-0af7/);
          expect(message.id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
        }
        expect(new Set(pending(database).map(({ id }) => id)).size).toBe(3);
        expect(yield* (yield* Timers).list("checkout", orderId)).toMatchObject([{ name: "wake", token: "1" }]);
        expect((yield* (yield* SagaStore).find("checkout", [orderId])).get(orderId)).toMatchObject({
          status: "running",
          revision: 1,
          version: 1,
        });
        expect((yield* (yield* OrderStore).find([orderId])).get(orderId)?.history).toHaveLength(2);
      }),
    );
  });

  it("is answered the same again under the same key, acts once, and its key is refused to another request (G6)", () => {
    simulate(({ database }) =>
      Effect.gen(function* () {
        const same = [placing("createdOnly", "key-1"), placing("createdOnly", "key-1"), placing("createdOnly", "key-1", "other")];
        expect((yield* run(same)).map(answerOf)).toEqual([["pendingPayment", false], ["pendingPayment", true], "KeyReused"]);
        expect((yield* run(same)).map(answerOf)).toEqual([["pendingPayment", true], ["pendingPayment", true], "KeyReused"]);
        expect(types(database)).toHaveLength(3);
      }),
    );
  });

  it("is repeated under its key whoever asks something else under the same key in the same batch before it (G6)", () => {
    simulate(() =>
      Effect.gen(function* () {
        const mine = placing("createdOnly", "key-1");
        yield* run([mine]);
        const others = [placing("createdOnly", "key-1", "other"), mine, placing("createdOnly", "key-1", "third"), mine];
        const repeated = ["pendingPayment", true];
        expect((yield* run(others)).map(answerOf)).toEqual(["KeyReused", repeated, "KeyReused", repeated]);
      }),
    );
  });

  it("that was refused is refused the same again, also from the record", () => {
    simulate(() =>
      Effect.gen(function* () {
        const again = Aggregate.request<SagaRunner.Command>(orderId, (now) => place({ now }), {
          idempotency: { scope: "c", key: "k", fingerprint: "f" },
        });
        yield* run([placing()]);
        // Decided without a look at what is there, it loses the race, and is run again as a mailbox does.
        expect((yield* Effect.retry(run([again]), { times: 1 })).map(answerOf)).toEqual([["OrderExists", false]]);
        expect((yield* run([again])).map(answerOf)).toEqual([["OrderExists", true]]);
      }),
    );
  });

  it("changes nothing when it is refused", () => {
    simulate(({ database }) =>
      Effect.gen(function* () {
        expect((yield* run([cancel])).map(answerOf)).toEqual([["OrderNotFound", false]]);
        expect([types(database), database.orders.committed.size, database.sagas.committed.size]).toEqual([[], 0, 0]);
      }),
    );
  });

  it("to cancel wins while the order rests in `created`; its saga then ends with nothing to undo", () => {
    simulate(({ database }) =>
      Effect.gen(function* () {
        const handle = CommandHandler.runBatch(waiting);
        expect((yield* handle([placing("createdOnly"), cancel, cancel])).map(answerOf)).toEqual([
          ["created", false],
          ["canceled", false],
          ["canceled", false],
        ]);
        yield* Effect.sleep(1_001);
        const [timer] = yield* (yield* Timers).claimDue("checkout", 10, 1_000);
        if (timer === undefined) throw new Error("no timer");
        yield* handle([{ _tag: "Timer", timer }]);
        expect(yield* (yield* Timers).list("checkout", orderId)).toEqual([]);
        expect((yield* (yield* SagaStore).find("checkout", [orderId])).get(orderId)?.status).toBe("compensated");
        expect(types(database)).toEqual(["order.created.v1", "order.status.changed.v1"]);
      }),
    );
  });

  it("to cancel is refused as too late under createdOnly, and undoes under compensating", () => {
    simulate(() =>
      Effect.gen(function* () {
        expect((yield* run([placing("createdOnly"), cancel])).map(answerOf)).toEqual([
          ["pendingPayment", false],
          ["TooLateToCancel", false],
        ]);
      }),
    );
    simulate(({ database }) =>
      Effect.gen(function* () {
        yield* run([placing("compensating"), balanced]);
        expect((yield* run([cancel])).map(answerOf)).toEqual([["pendingPayment", false]]);
        expect(types(database).at(-1)).toBe("inventory.release.v1");
        yield* run([replyTo(M.StockReleased, { orderId, reason: "asked" }, "reserve-stock")]);
        expect((yield* (yield* OrderStore).find([orderId])).get(orderId)).toMatchObject({ status: "canceled", reason: "canceledByUser" });
      }),
    );
  });

  it("to cancel is refused once the pivot was asked for, although the order still awaits its payment", () => {
    simulate(() =>
      Effect.gen(function* () {
        yield* run([
          placing("compensating"),
          balanced,
          replyTo(M.StockReserved, { orderId, until: 9 }, "reserve-stock"),
          replyTo(M.PaymentAuthorized, { orderId }, "authorize-payment"),
          replyTo(M.StockCommitted, { orderId }, "commit-stock"),
        ]);
        expect((yield* run([cancel])).map(answerOf)).toEqual([["TooLateToCancel", false]]);
        expect((yield* (yield* OrderStore).find([orderId])).get(orderId)).toMatchObject({
          status: "awaitingPayment",
          cancelRequested: false,
        });
      }),
    );
  });
});

describe("a saga whose undo was refused for good (G8)", () => {
  const resume: Input = Aggregate.request<SagaRunner.Command>(orderId, (now) => ({ _tag: "Resume", now }));

  it("rests where a person sees it, and goes on when a person asks", () => {
    simulate(({ database }) =>
      Effect.gen(function* () {
        yield* run([placing("compensating"), balanced, cancel]);
        yield* run([replyTo(M.StockReleaseRefused, { orderId }, "reserve-stock")]);
        const sagas = yield* SagaStore;
        expect((yield* sagas.find("checkout", [orderId])).get(orderId)?.status).toBe("compensationFailed");
        expect((yield* run([resume])).map(answerOf)).toEqual([["pendingPayment", false]]);
        expect(types(database).at(-1)).toBe("inventory.release.v1");
        yield* run([replyTo(M.StockReleased, { orderId, reason: "asked" }, "reserve-stock")]);
        expect((yield* sagas.find("checkout", [orderId])).get(orderId)?.status).toBe("compensated");
        expect((yield* run([resume])).map(answerOf)).toEqual([["canceled", false]]);
      }),
    );
    simulate(() => Effect.map(run([resume]), (handled) => expect(handled.map(answerOf)).toEqual([["OrderNotFound", false]])));
  });

  it("goes on when a person says that it was done by hand, and keeps who said so", () => {
    simulate(() =>
      Effect.gen(function* () {
        yield* run([placing("compensating"), balanced, cancel]);
        yield* run([replyTo(M.StockReleaseRefused, { orderId }, "reserve-stock")]);
        const by = { step: "reserve-stock", by: "ada", note: "counted by hand" };
        const resolve = Aggregate.request<SagaRunner.Command>(orderId, (now) => ({ _tag: "Resolve", ...by, now }));
        expect((yield* run([resolve])).map(answerOf)).toEqual([["canceled", false]]);
        expect((yield* (yield* SagaStore).find("checkout", [orderId])).get(orderId)).toMatchObject({
          status: "compensated",
          state: { audit: [{ action: "resolve", ...by }] },
        });
      }),
    );
  });

  it("is not confirmed by a release that was told without its key", () => {
    simulate(() =>
      Effect.gen(function* () {
        yield* run([placing("compensating"), balanced, cancel]);
        const courtesy = replyTo(M.StockReleased, { orderId, reason: "expired" }, "reserve-stock");
        yield* run([{ ...courtesy, envelope: { ...courtesy.envelope, stepKey: null } }]);
        expect((yield* (yield* SagaStore).find("checkout", [orderId])).get(orderId)?.status).toBe("compensating");
      }),
    );
  });
});

describe("a message", () => {
  it("moves the saga once, however often it comes; what follows carries its conversation", () => {
    simulate(({ database }) =>
      Effect.gen(function* () {
        yield* run([placing()]);
        expect((yield* run([balanced, balanced])).map(answerOf)).toEqual([null, "Duplicate"]);
        expect((yield* run([balanced])).map(answerOf)).toEqual(["Duplicate"]);
        expect(types(database).filter((type) => type === "inventory.reserve.v1")).toHaveLength(1);
        expect(pending(database).at(-1)).toMatchObject({
          causationId: balanced.envelope.id,
          correlationId: orderId,
          traceparent: "tp",
          tracestate: "ts",
        });
      }),
    );
  });

  it("that nothing awaits is admitted and changes nothing", () => {
    simulate(({ database }) =>
      Effect.gen(function* () {
        expect((yield* run([balanced])).map(answerOf)).toEqual([null]);
        expect([database.sagas.committed.size, types(database)]).toEqual([0, []]);
      }),
    );
  });

  it("for an instance that is not there fails alone and is not remembered, where the definition says so", () => {
    simulate(({ database }) =>
      Effect.gen(function* () {
        const strict = CommandHandler.runBatch(SagaRunner.make({ ...Checkout.make(), unknownInstance: "deadLetter" }));
        const mailbox = yield* Mailbox.make({ name: "orders", key: Aggregate.keyOf<SagaRunner.Command>, run: strict });
        const exits = yield* mailbox.submitAll([balanced]);
        expect(exits.map(({ _tag }) => _tag)).toEqual(["Failure"]);
        expect((yield* mailbox.submitAll([placing(), balanced])).map(({ _tag }) => _tag)).toEqual(["Success", "Success"]);
        expect(types(database).at(-1)).toBe("inventory.reserve.v1");
      }),
    );
  });
});

describe("a checkout of another version", () => {
  const renumbered = (version: number): Checkout.Definition => ({ ...Checkout.make({ holdTtlMillis: 3_600_000 }), version });

  it("goes on in its version beside new ones, where that is known", () => {
    simulate(({ database }) =>
      Effect.gen(function* () {
        yield* run([placing()]);
        yield* CommandHandler.runBatch(SagaRunner.make(renumbered(2), [renumbered(1)]))([balanced]);
        expect((yield* (yield* SagaStore).find("checkout", [orderId])).get(orderId)?.version).toBe(1);
        expect(pending(database).at(-1)).toMatchObject({ type: "inventory.reserve.v1", saga: "checkout@1" });
      }),
    );
  });

  it("is left alone where it is not known: its neighbours go on", () => {
    simulate(({ database }) =>
      Effect.gen(function* () {
        yield* run([placing()]);
        const newer = CommandHandler.runBatch(SagaRunner.make(renumbered(2)));
        const mailbox = yield* Mailbox.make({ name: "orders", key: Aggregate.keyOf<SagaRunner.Command>, run: newer });
        const other = Aggregate.request<SagaRunner.Command>("order-2", (now) => place({ id: OrderId.make("order-2"), now }));
        const exits = yield* mailbox.submitAll([balanced, other, cancel]);
        expect(exits.map((exit) => (Exit.isFailure(exit) ? Cause.squash(exit.cause) : "Success"))).toMatchObject([
          { _tag: "LeftAlone" },
          "Success",
          { _tag: "LeftAlone" },
        ]);
        expect(database.inbox.committed.size).toBe(0);
      }),
    );
  });
});

describe("a timer", () => {
  it("asks again under the same key, and a firing that is out of date does nothing and is removed", () => {
    simulate(({ database }) =>
      Effect.gen(function* () {
        const timers = yield* Timers;
        yield* run([placing()]);
        yield* Effect.sleep(10_001);
        const [timer] = yield* timers.claimDue("checkout", 10, 60_000);
        if (timer === undefined) throw new Error("no timer");
        yield* run([{ _tag: "Timer", timer }]);
        yield* run([{ _tag: "Timer", timer }]);
        const asked = pending(database).filter(({ type }) => type === "payment.check-balance.v1");
        expect(asked.map(({ stepKey }) => stepKey)).toEqual([`${orderId}:check-balance:1`, `${orderId}:check-balance:1`]);
        expect(yield* timers.list("checkout", orderId)).toMatchObject([{ name: "wake", token: "2" }]);
      }),
    );
  });
});

describe("the whole checkout through a mailbox", () => {
  it("ends finished when every participant answers, one commit at a time or all in one", () => {
    const replies: ReadonlyArray<Input> = [
      placing(),
      balanced,
      replyTo(M.StockReserved, { orderId, until: 9 }, "reserve-stock"),
      replyTo(M.PaymentAuthorized, { orderId }, "authorize-payment"),
      replyTo(M.StockCommitted, { orderId }, "commit-stock"),
      replyTo(M.PaymentCaptured, { orderId }, "capture-payment"),
      replyTo(M.FulfillmentSucceeded, { orderId }, "fulfill"),
      replyTo(M.StockShipped, { orderId }, "ship-stock"),
    ];
    for (const batchMax of [1, 100]) {
      simulate(({ database }) =>
        Effect.gen(function* () {
          const mailbox = yield* Mailbox.make({ name: "orders", key: Aggregate.keyOf<SagaRunner.Command>, run, batchMax });
          const exits = yield* mailbox.submitAll(replies);
          expect(exits.every(Exit.isSuccess)).toBe(true);
          const order = (yield* (yield* OrderStore).find([orderId])).get(orderId);
          expect(order?.history.map(({ status }) => status)).toEqual([
            "created",
            "pendingPayment",
            "awaitingPayment",
            "awaitingFulfillment",
            "finished",
          ]);
          expect(yield* (yield* Timers).list("checkout", orderId)).toEqual([]);
          expect((yield* (yield* SagaStore).count("checkout")).get("completed")).toBe(1);
          expect(types(database).filter((type) => type === "order.status.changed.v1")).toHaveLength(4);
        }),
      );
    }
  });

  it("leaves nothing behind when its commit fails", () => {
    simulate(({ database }) =>
      Effect.gen(function* () {
        const inbox = yield* Inbox;
        const broken: Inbox["Service"] = { ...inbox, admit: () => Effect.die(new Error("a bug")) };
        const exit = yield* Effect.exit(run([placing(), balanced]).pipe(Effect.provideService(Inbox, broken)));
        expect(Exit.isFailure(exit)).toBe(true);
        expect([database.orders.committed.size, database.sagas.committed.size, types(database)]).toEqual([0, 0, []]);
      }),
    );
  });
});
