/** Every port call and every gap between two writes is a named fault point; a crash at each of them leaves all or nothing. */
import { Cause, Duration, Effect, Exit } from "effect";
import { TestClock } from "effect/testing";
import { describe, expect, it } from "vitest";
import type * as Message from "../../src/domain/Message.ts";
import * as FaultPoint from "../../src/memory/FaultPoint.ts";
import * as MemoryDatabase from "../../src/memory/MemoryDatabase.ts";
import { DeadLetters } from "../../src/ports/DeadLetters.ts";
import { DocumentStore } from "../../src/ports/DocumentStore.ts";
import { IdempotencyKeys } from "../../src/ports/IdempotencyKeys.ts";
import { Inbox } from "../../src/ports/Inbox.ts";
import { Lock } from "../../src/ports/Lock.ts";
import { OrderStore } from "../../src/ports/OrderStore.ts";
import { Outbox } from "../../src/ports/Outbox.ts";
import { SagaStore } from "../../src/ports/SagaStore.ts";
import { Timers } from "../../src/ports/Timers.ts";
import { Transaction, UnitOfWork } from "../../src/ports/UnitOfWork.ts";

import { counts, crashAt, process, publishing, relay, run, write } from "./Process.ts";

describe("fault points", () => {
  it("stand before and after every call of every port", () =>
    run(
      Effect.gen(function* () {
        const passed: Array<string> = [];
        const everything = Effect.gen(function* () {
          const unit = yield* UnitOfWork;
          const [documents, sagas, orders] = [yield* DocumentStore, yield* SagaStore, yield* OrderStore];
          const [outbox, inbox, timers] = [yield* Outbox, yield* Inbox, yield* Timers];
          const [letters, keys, lock] = [yield* DeadLetters, yield* IdempotencyKeys, yield* Lock];
          const inside: ReadonlyArray<Effect.Effect<unknown, unknown, Transaction>> = [
            documents.load("k", []),
            documents.save([]),
            sagas.load("s", []),
            sagas.save([]),
            orders.load([]),
            orders.save([]),
            outbox.append([]),
            inbox.admit("c", []),
            timers.schedule([]),
            timers.cancel([]),
            timers.complete([]),
            letters.append([]),
            letters.remove("c", []),
            keys.claim([]),
            keys.record([]),
          ];
          const outside: ReadonlyArray<Effect.Effect<unknown, unknown>> = [
            documents.find("k", []),
            sagas.find("s", []),
            sagas.count("s"),
            orders.find([]),
            outbox.pendingShards,
            outbox.drain(0, 1, publishing([])),
            outbox.backlog,
            outbox.sweep(0),
            inbox.sweep(0),
            timers.claimDue("o", 1, 1),
            timers.nextDueAt("o"),
            timers.list("o", "k"),
            letters.list("c", 1),
            keys.sweep(0),
          ];
          yield* unit.commit(Effect.all(inside));
          yield* Effect.all(outside);
          const lease = (yield* lock.acquire("l", "o", 1)) ?? { name: "l", owner: "o", fence: 0 };
          yield* lock.renew(lease, 1);
          yield* lock.release(lease);
          yield* Effect.forkChild(TestClock.adjust(10));
          yield* outbox.awaitPending(Duration.millis(10));
        });
        const record: FaultPoint.Handler = (name) => Effect.sync(() => passed.push(name));
        yield* process(new MemoryDatabase.Database(), Effect.provideService(everything, FaultPoint.Handler, record));
        const calls = passed.filter((name) => name.endsWith(".before")).map((name) => name.slice(0, -".before".length));
        const returns = passed.filter((name) => name.endsWith(".after")).map((name) => name.slice(0, -".after".length));
        expect(returns).toEqual(calls);
        expect(calls).toHaveLength(33);
        expect(passed[0]).toBe("UnitOfWork.commit.begin");
        expect(passed.filter((name) => name.startsWith("UnitOfWork."))).toEqual([
          "UnitOfWork.commit.begin",
          "UnitOfWork.commit.beforeCommit",
          "UnitOfWork.commit.afterCommit",
        ]);
      }),
    ));

  it.each([
    ["UnitOfWork.commit.begin", 0],
    ["DocumentStore.save.before", 0],
    ["DocumentStore.save.after", 0],
    ["Outbox.append.before", 0],
    ["Outbox.append.after", 0],
    ["UnitOfWork.commit.beforeCommit", 0],
    ["UnitOfWork.commit.afterCommit", 1],
  ])("a crash at %s leaves all or nothing, and the restarted process goes on", (point, stored) =>
    run(
      Effect.gen(function* () {
        const database = yield* MemoryDatabase.make;
        const exit = yield* Effect.exit(process(database, crashAt(point)(write)));
        expect(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause)).toBe(true);
        expect(counts(database)).toEqual({ documents: stored, pending: stored, sent: 0 });
        if (stored === 0) yield* process(database, write);
        const bus: Array<Message.Encoded> = [];
        yield* process(database, relay(bus));
        expect(bus).toHaveLength(1);
      }),
    ),
  );

  it.each([
    ["Outbox.drain.before", 1, 0],
    ["Outbox.drain.beforePublish", 1, 0],
    ["Outbox.drain.afterPublish", 2, 0],
    ["Outbox.drain.afterMark", 1, 1],
    ["Outbox.drain.after", 1, 1],
  ])("a crash at %s publishes %i times in all, and never loses the message", (point, published, sentBefore) =>
    run(
      Effect.gen(function* () {
        const database = yield* MemoryDatabase.make;
        const bus: Array<Message.Encoded> = [];
        yield* process(database, write);
        yield* Effect.exit(process(database, crashAt(point)(relay(bus))));
        expect(counts(database).sent).toBe(sentBefore);
        yield* process(database, relay(bus));
        expect(bus).toHaveLength(published);
        expect(counts(database)).toEqual({ documents: 1, pending: 0, sent: 1 });
      }),
    ),
  );

  it("a defect at a fault point is a defect of the call", () =>
    run(
      Effect.gen(function* () {
        const database = yield* MemoryDatabase.make;
        const exit = yield* process(database, write).pipe(
          Effect.provideService(FaultPoint.Handler, (name) => (name === "Outbox.append.before" ? Effect.die("a bug") : Effect.void)),
          Effect.exit,
        );
        expect(Exit.isFailure(exit) && Cause.hasDies(exit.cause)).toBe(true);
        expect(counts(database)).toEqual({ documents: 0, pending: 0, sent: 0 });
      }),
    ));
});
