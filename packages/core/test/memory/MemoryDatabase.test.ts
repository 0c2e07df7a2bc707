/** What the memory database promises beyond the ports: isolation, and data that outlives a process. */
import { Context, Duration, Effect, Fiber, Layer } from "effect";
import { TestClock } from "effect/testing";
import { describe, expect, it } from "vitest";
import * as MemoryDatabase from "../../src/memory/MemoryDatabase.ts";
import * as MemoryOutbox from "../../src/memory/MemoryOutbox.ts";
import * as MemoryStores from "../../src/memory/MemoryStores.ts";
import * as MemoryUnitOfWork from "../../src/memory/MemoryUnitOfWork.ts";
import { DocumentStore } from "../../src/ports/DocumentStore.ts";
import { IdempotencyKeys } from "../../src/ports/IdempotencyKeys.ts";
import { Outbox } from "../../src/ports/Outbox.ts";
import { Timers } from "../../src/ports/Timers.ts";
import { Transaction, UnitOfWork } from "../../src/ports/UnitOfWork.ts";
import * as Samples from "../../src/testing/contracts/Samples.ts";

import { counts, KEY, process, run, write } from "./Process.ts";

describe("a database", () => {
  it("outlives the processes on it", () =>
    run(
      Effect.gen(function* () {
        const database = yield* MemoryDatabase.make;
        yield* process(database, write);
        const found = yield* process(
          database,
          Effect.flatMap(DocumentStore, (documents) => documents.find(Samples.KIND, [KEY])),
        );
        expect(found.get(KEY)?.state).toBe("written");
      }),
    ));

  it("of a layer is a new one each time", () =>
    run(
      Effect.gen(function* () {
        const backlog = Effect.flatMap(Outbox, (outbox) => outbox.backlog);
        const fresh = Layer.provide(MemoryStores.layer, MemoryDatabase.layer);
        yield* Effect.provide(write, fresh);
        expect((yield* Effect.provide(backlog, Layer.fresh(fresh))).pending).toBe(0);
      }),
    ));

  it("runs transactions one after another, in the order of their coming", () =>
    run(
      Effect.gen(function* () {
        const database = yield* MemoryDatabase.make;
        const happened: Array<string> = [];
        const slow = (name: string) =>
          Effect.gen(function* () {
            happened.push(`${name} begins`);
            for (let turn = 0; turn < 5; turn += 1) yield* Effect.yieldNow;
            happened.push(`${name} ends`);
          });
        yield* process(
          database,
          Effect.flatMap(UnitOfWork, (unit) =>
            Effect.forEach(["a", "b", "c"], (name) => unit.commit(slow(name)), { concurrency: "unbounded" }),
          ),
        );
        expect(happened).toEqual(["a begins", "a ends", "b begins", "b ends", "c begins", "c ends"]);
      }),
    ));

  it("goes on after a waiting transaction was interrupted", () =>
    run(
      Effect.gen(function* () {
        const database = yield* MemoryDatabase.make;
        yield* process(
          database,
          Effect.gen(function* () {
            const unit = yield* UnitOfWork;
            const holder = yield* Effect.forkChild(unit.commit(Effect.never));
            const waiter = yield* Effect.forkChild(unit.commit(Effect.die("it should not begin")));
            for (let turn = 0; turn < 5; turn += 1) yield* Effect.yieldNow;
            yield* Fiber.interrupt(waiter);
            yield* Fiber.interrupt(holder);
            yield* write;
          }),
        );
        expect(counts(database).documents).toBe(1);
      }),
    ));

  it("refuses the transaction of another database", () =>
    run(
      Effect.gen(function* () {
        const [here, there] = [yield* MemoryDatabase.make, yield* MemoryDatabase.make];
        const outbox = yield* process(there, Outbox);
        const misuse = yield* process(
          here,
          Effect.flatMap(UnitOfWork, (unit) => Effect.flip(unit.commit(outbox.append([])))),
        );
        expect(misuse.reason).toBe("Misuse");
      }),
    ));

  it("lets a fiber that outlived its transaction begin one of its own", () =>
    run(
      Effect.gen(function* () {
        const database = yield* MemoryDatabase.make;
        yield* process(
          database,
          Effect.gen(function* () {
            const ended: Context.Context<Transaction> = yield* (yield* UnitOfWork).commit(Effect.context<Transaction>());
            yield* Effect.provideContext(write, ended);
          }),
        );
        expect(counts(database).documents).toBe(1);
      }),
    ));

  it("ends a doomed transaction with its first lost race", () =>
    run(
      Effect.gen(function* () {
        const database = yield* MemoryDatabase.make;
        const lost = yield* process(
          database,
          Effect.gen(function* () {
            const documents = yield* DocumentStore;
            const swallowed = Effect.ignore(documents.save([Samples.document(KEY, 7, {})]));
            return yield* Effect.flip((yield* UnitOfWork).commit(Effect.andThen(swallowed, swallowed)));
          }),
        );
        expect(lost).toMatchObject({ reason: "Contention", operation: "DocumentStore.save" });
      }),
    ));

  it("refuses a state and an answer that are not JSON", () =>
    run(
      Effect.gen(function* () {
        const cycle: Array<unknown> = [];
        cycle.push(cycle);
        for (const value of [undefined, () => 1, 1n, cycle]) {
          const key = { scope: "s", key: "k", fingerprint: "f" };
          const reasons = yield* process(
            yield* MemoryDatabase.make,
            Effect.gen(function* () {
              const [unit, documents, keys] = [yield* UnitOfWork, yield* DocumentStore, yield* IdempotencyKeys];
              const state = yield* Effect.flip(unit.commit(documents.save([Samples.document(KEY, 1, value)])));
              const answer = Effect.andThen(keys.claim([key]), keys.record([{ key, answer: value }]));
              return [state.reason, (yield* Effect.flip(unit.commit(answer))).reason];
            }),
          );
          expect(reasons).toEqual(["Refused", "Refused"]);
        }
      }),
    ));

  it("hides a timer from claims while a transaction writes it, and keeps rows that a transaction holds in a sweep", () =>
    run(
      Effect.gen(function* () {
        const database = yield* MemoryDatabase.make;
        const timer = { owner: "o", key: KEY, name: "timeout", token: "t", dueAt: 0 };
        const key = { scope: "s", key: "k", fingerprint: "f" };
        const claimed = yield* process(
          database,
          Effect.gen(function* () {
            const [unit, timers, keys] = [yield* UnitOfWork, yield* Timers, yield* IdempotencyKeys];
            yield* unit.commit(timers.schedule([timer]));
            const during = unit.commit(Effect.andThen(timers.complete([timer]), timers.claimDue("o", 1, 1)));
            const answered = Effect.andThen(keys.claim([key]), keys.record([{ key, answer: 1 }]));
            const sweep = unit.commit(Effect.andThen(answered, keys.sweep(Samples.FUTURE)));
            return [yield* during, yield* sweep, (yield* unit.commit(keys.claim([key])))[0]?._tag];
          }),
        );
        expect(claimed).toEqual([[], 0, "Repeated"]);
      }),
    ));
});

describe("waiting for the outbox", () => {
  it("is a matter of the clock: no append, and the time is waited out exactly", () =>
    run(
      Effect.gen(function* () {
        const waiter = yield* Effect.forkChild(
          process(
            new MemoryDatabase.Database(),
            Effect.flatMap(Outbox, (outbox) => outbox.awaitPending(Duration.seconds(5))),
          ),
        );
        yield* TestClock.adjust("4999 millis");
        expect(waiter.pollUnsafe()).toBeUndefined();
        yield* TestClock.adjust("1 millis");
        expect(waiter.pollUnsafe()).toBeDefined();
      }),
    ));

  it("is ended by an append of another process, but not by a rollback or a commit without messages", () =>
    run(
      Effect.gen(function* () {
        const database = yield* MemoryDatabase.make;
        const outbox = yield* Effect.provide(Outbox, Layer.provide(MemoryOutbox.layer, MemoryDatabase.layerOf(database)));
        const unit = yield* Effect.provide(UnitOfWork, Layer.provide(MemoryUnitOfWork.layer, MemoryDatabase.layerOf(database)));
        const waiter = yield* Effect.forkChild(outbox.awaitPending(Duration.hours(1)));
        const turns = Effect.replicateEffect(Effect.yieldNow, 10);
        yield* turns;
        const message = yield* Samples.message(KEY, 1);
        yield* Effect.exit(unit.commit(Effect.andThen(outbox.append([message]), Effect.fail("no"))));
        yield* unit.commit(Effect.void);
        yield* turns;
        expect(waiter.pollUnsafe()).toBeUndefined();
        yield* process(database, write);
        yield* turns;
        expect(waiter.pollUnsafe()).toBeDefined();
      }),
    ));
});
