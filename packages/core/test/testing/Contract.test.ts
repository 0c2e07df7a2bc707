/** The contract suites can fail: each one catches adapters that break its port's promises. */
import { Effect, Exit, Fiber, Layer } from "effect";
import { TestClock } from "effect/testing";
import { describe, expect, it } from "vitest";
import * as MemoryDatabase from "../../src/memory/MemoryDatabase.ts";
import * as MemoryStores from "../../src/memory/MemoryStores.ts";
import { DeadLetters } from "../../src/ports/DeadLetters.ts";
import { DocumentStore } from "../../src/ports/DocumentStore.ts";
import { IdempotencyKeys } from "../../src/ports/IdempotencyKeys.ts";
import { Inbox } from "../../src/ports/Inbox.ts";
import { Lock } from "../../src/ports/Lock.ts";
import { OrderStore } from "../../src/ports/OrderStore.ts";
import { Outbox } from "../../src/ports/Outbox.ts";
import { StoreError } from "../../src/ports/StoreError.ts";
import { Timers } from "../../src/ports/Timers.ts";
import { UnitOfWork } from "../../src/ports/UnitOfWork.ts";
import * as Contract from "../../src/testing/Contract.ts";
import * as DeadLettersContract from "../../src/testing/contracts/DeadLettersContract.ts";
import * as DocumentStoreContract from "../../src/testing/contracts/DocumentStoreContract.ts";
import * as IdempotencyKeysContract from "../../src/testing/contracts/IdempotencyKeysContract.ts";
import * as InboxContract from "../../src/testing/contracts/InboxContract.ts";
import * as LockContract from "../../src/testing/contracts/LockContract.ts";
import * as OrderStoreContract from "../../src/testing/contracts/OrderStoreContract.ts";
import * as OutboxContract from "../../src/testing/contracts/OutboxContract.ts";
import * as TimersContract from "../../src/testing/contracts/TimersContract.ts";
import * as UnitOfWorkContract from "../../src/testing/contracts/UnitOfWorkContract.ts";

type Cases = ReadonlyArray<Contract.Case<MemoryStores.Ports>>;

/** A memory adapter with one promise broken. */
interface Mutant {
  readonly name: string;
  readonly cases: Cases;
  readonly layer: Layer.Layer<MemoryStores.Ports>;
  /** Part of the name of a case that has to catch it. */
  readonly caughtBy: string;
}

const stores = MemoryStores.layerOf(new MemoryDatabase.Database());

/** All stores, with one service replaced by what `breaking` makes of it. */
const outbox = (breaking: (intact: Outbox["Service"]) => Outbox["Service"]) =>
  Layer.merge(stores, Layer.provide(Layer.effect(Outbox, Effect.map(Outbox, breaking)), stores));
const inbox = (breaking: (intact: Inbox["Service"]) => Inbox["Service"]) =>
  Layer.merge(stores, Layer.provide(Layer.effect(Inbox, Effect.map(Inbox, breaking)), stores));
const documents = (breaking: (intact: DocumentStore["Service"]) => DocumentStore["Service"]) =>
  Layer.merge(stores, Layer.provide(Layer.effect(DocumentStore, Effect.map(DocumentStore, breaking)), stores));
const orders = (breaking: (intact: OrderStore["Service"]) => OrderStore["Service"]) =>
  Layer.merge(stores, Layer.provide(Layer.effect(OrderStore, Effect.map(OrderStore, breaking)), stores));
const timers = (breaking: (intact: Timers["Service"]) => Timers["Service"]) =>
  Layer.merge(stores, Layer.provide(Layer.effect(Timers, Effect.map(Timers, breaking)), stores));
const letters = (breaking: (intact: DeadLetters["Service"]) => DeadLetters["Service"]) =>
  Layer.merge(stores, Layer.provide(Layer.effect(DeadLetters, Effect.map(DeadLetters, breaking)), stores));
const keys = (breaking: (intact: IdempotencyKeys["Service"]) => IdempotencyKeys["Service"]) =>
  Layer.merge(stores, Layer.provide(Layer.effect(IdempotencyKeys, Effect.map(IdempotencyKeys, breaking)), stores));
const lock = (breaking: (intact: Lock["Service"]) => Lock["Service"]) =>
  Layer.merge(stores, Layer.provide(Layer.effect(Lock, Effect.map(Lock, breaking)), stores));
const unit = (breaking: (intact: UnitOfWork["Service"]) => UnitOfWork["Service"]) =>
  Layer.merge(stores, Layer.provide(Layer.effect(UnitOfWork, Effect.map(UnitOfWork, breaking)), stores));

const mutants: ReadonlyArray<Mutant> = [
  {
    name: "a unit of work that retries",
    cases: UnitOfWorkContract.cases,
    layer: unit((intact) => ({ commit: (body) => Effect.catchCause(intact.commit(body), () => intact.commit(body)) })),
    caughtBy: "never retries",
  },
  {
    name: "an inbox that admits everything",
    cases: InboxContract.cases,
    layer: inbox((intact) => ({
      ...intact,
      admit: (consumer, ids) =>
        Effect.as(
          intact.admit(consumer, ids),
          ids.map(() => "First" as const),
        ),
    })),
    caughtBy: "First once",
  },
  {
    name: "an inbox that mixes consumers up",
    cases: InboxContract.cases,
    layer: inbox((intact) => ({ ...intact, admit: (_, ids) => intact.admit("everyone", ids) })),
    caughtBy: "consumers do not share",
  },
  {
    name: "an outbox that hands the newest over first",
    cases: OutboxContract.cases,
    layer: outbox((intact) => ({ ...intact, append: (messages) => intact.append(messages.toReversed()) })),
    caughtBy: "commit order",
  },
  {
    name: "an outbox that marks although publishing failed",
    cases: OutboxContract.cases,
    layer: outbox((intact) => ({
      ...intact,
      drain: (shard, max, publish) =>
        intact.drain(shard, max, (batch) =>
          Effect.catchTag(publish(batch), "BusError", () => Effect.succeed(batch.map(() => "Published" as const))),
        ),
    })),
    caughtBy: "publishing fails",
  },
  {
    name: "an outbox that loses what the bus refused",
    cases: OutboxContract.cases,
    layer: outbox((intact) => ({
      ...intact,
      drain: (shard, max, publish) =>
        intact.drain(shard, max, (batch) => Effect.map(publish(batch), (verdicts) => verdicts.map(() => "Published" as const))),
    })),
    caughtBy: "parked",
  },
  {
    name: "an outbox without a limit",
    cases: OutboxContract.cases,
    layer: outbox((intact) => ({ ...intact, drain: (shard, _, publish) => intact.drain(shard, 1_000, publish) })),
    caughtBy: "never more than it was allowed",
  },
  {
    name: "an outbox that nobody hears of",
    cases: OutboxContract.cases,
    layer: outbox((intact) => ({ ...intact, awaitPending: (atMost) => Effect.as(Effect.sleep(atMost), []) })),
    caughtBy: "a wait ends when",
  },
  {
    name: "a document store whose last writer wins",
    cases: DocumentStoreContract.cases,
    layer: documents((intact) => ({
      ...intact,
      save: (list) =>
        Effect.forEach(list, (document) =>
          Effect.flatMap(intact.load(document.kind, [document.id]), (there) =>
            intact.save([{ ...document, revision: (there.get(document.id)?.revision ?? 0) + 1 }]),
          ),
        ),
    })),
    caughtBy: "stale",
  },
  {
    name: "an order store that does not look at the version",
    cases: OrderStoreContract.cases,
    layer: orders((intact) => ({
      ...intact,
      save: (changes) =>
        Effect.forEach(changes, ({ after }) =>
          Effect.flatMap(intact.load([after.id]), (there) => intact.save([{ before: there.get(after.id) ?? null, after }])),
        ),
    })),
    caughtBy: "stale version",
  },
  {
    name: "timers without a lease",
    cases: TimersContract.cases,
    layer: timers((intact) => ({ ...intact, claimDue: (owner, max) => intact.claimDue(owner, max, 0) })),
    caughtBy: "hidden",
  },
  {
    name: "timers that complete whatever token they are asked for",
    cases: TimersContract.cases,
    layer: timers((intact) => ({ ...intact, complete: intact.cancel })),
    caughtBy: "another token stays",
  },
  {
    name: "timers that are rescheduled with another token",
    cases: TimersContract.cases,
    layer: timers((intact) => ({
      ...intact,
      reschedule: (moves) =>
        Effect.as(
          intact.schedule(moves.map((move) => ({ ...move, token: "new" }))),
          moves.map(() => "Rescheduled" as const),
        ),
    })),
    caughtBy: "with the token it had",
  },
  {
    name: "timers whose pages overlap",
    cases: TimersContract.cases,
    layer: timers((intact) => ({
      ...intact,
      pending: (owner, { after, max }) => intact.pending(owner, { after: after === null ? null : { ...after, name: "" }, max }),
    })),
    caughtBy: "page by page",
  },
  {
    name: "dead letters that forget the newest",
    cases: DeadLettersContract.cases,
    layer: letters((intact) => ({
      ...intact,
      list: (consumer, max) => Effect.map(intact.list(consumer, max), (list) => list.slice(0, 1)),
    })),
    caughtBy: "oldest come first",
  },
  {
    name: "idempotency keys without a fingerprint",
    cases: IdempotencyKeysContract.cases,
    layer: keys((intact) => ({ ...intact, claim: (list) => intact.claim(list.map((key) => ({ ...key, fingerprint: "" }))) })),
    caughtBy: "Mismatch",
  },
  {
    name: "a lock that everybody gets",
    cases: LockContract.cases,
    layer: lock((intact) => ({ ...intact, acquire: (name, _, ttl) => intact.acquire(name, "everyone", ttl) })),
    caughtBy: "nobody else gets it",
  },
  {
    name: "a lock whose fence stands still",
    cases: LockContract.cases,
    layer: lock((intact) => ({
      ...intact,
      acquire: (name, owner, ttl) =>
        Effect.map(intact.acquire(name, owner, ttl), (lease) => (lease === null ? null : { ...lease, fence: 1 })),
    })),
    caughtBy: "fence",
  },
];

/** Real time that a broken adapter may hang a case, in milliseconds. */
const HANG = 200;

/** The names of the cases that fail. */
const failures = (cases: Cases, layer: Layer.Layer<MemoryStores.Ports>) =>
  Effect.gen(function* () {
    const failed: Array<string> = [];
    for (const example of cases) {
      const fiber = yield* Effect.forkChild(
        example.run.pipe(
          Effect.provideService(Contract.Wait, (millis) => TestClock.adjust(millis)),
          Effect.provide(layer),
          Effect.exit,
        ),
      );
      const exit = yield* TestClock.withLive(Effect.timeoutOption(Fiber.join(fiber), HANG));
      if (exit._tag === "None" || Exit.isFailure(exit.value)) failed.push(example.name);
      yield* Fiber.interrupt(fiber);
    }
    return failed;
  });

const run = <A, E>(effect: Effect.Effect<A, E>): Promise<A> =>
  Effect.runPromise(Effect.provide(Effect.andThen(TestClock.setTime(1_767_225_600_000), effect), TestClock.layer()));

describe("the contract suites", () => {
  it.each(mutants)("catch $name", ({ cases, layer, caughtBy }) =>
    run(
      Effect.gen(function* () {
        const failed = yield* failures(
          cases.filter((example) => example.name.includes(caughtBy)),
          layer,
        );
        expect(failed.length).toBeGreaterThan(0);
      }),
    ),
  );
});

describe("Contract", () => {
  const messageOf = <A, E>(effect: Effect.Effect<A, E>) => run(Effect.map(Effect.flip(effect), String));
  const refusal = new StoreError({ reason: "Refused", operation: "Inbox.admit", message: "too large" });

  it("compares plain values deeply and tells what differs", async () => {
    await run(Contract.equal({ list: [1, { two: null }] }, { list: [1, { two: null }] }, "value"));
    expect(await messageOf(Contract.equal([1], [2], "the list"))).toMatch(/the list: expected .*2.*, got .*1/s);
    expect(await messageOf(Contract.equal(1, 2))).toContain("answer: expected 2, got 1");
  });

  it("expects a failure of the store with one of the reasons, and nothing else", async () => {
    await run(Contract.failsWith(Effect.fail(refusal), ["Misuse", "Refused"], "a call"));
    expect(await messageOf(Contract.failsWith(Effect.void, ["Misuse"], "a call"))).toContain("a call: expected Misuse, but it succeeded");
    expect(await messageOf(Contract.failsWith(Effect.fail("no"), ["Misuse"], "a call"))).toContain("a call: expected Misuse, got no");
    expect(await messageOf(Contract.failsWith(Effect.fail(refusal), ["Misuse"], "a call"))).toContain("got Refused (too large)");
  });

  it("tells a waiting fiber from one that has ended", async () => {
    const check = (effect: Effect.Effect<void>) =>
      Effect.gen(function* () {
        const fiber = yield* Effect.forkChild(effect);
        yield* Effect.yieldNow;
        yield* Contract.isWaiting(fiber, "the call");
      });
    await run(check(Effect.never));
    expect(await messageOf(check(Effect.void))).toContain("the call: expected it to wait, but it has ended");
  });

  it("waits on the clock of the test by default", () =>
    run(
      Effect.gen(function* () {
        const fiber = yield* Effect.forkChild(Contract.settle);
        yield* TestClock.adjust(Contract.SETTLE_MILLIS - 1);
        expect(fiber.pollUnsafe()).toBeUndefined();
        yield* TestClock.adjust(1);
        expect(fiber.pollUnsafe()).toBeDefined();
      }),
    ));

  it("makes names and message ids that do not repeat, in their form", () =>
    run(
      Effect.gen(function* () {
        const ids = yield* Effect.replicateEffect(Contract.uuid, 100);
        expect(new Set(ids).size).toBe(100);
        for (const id of ids) expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}$/);
        expect(yield* Contract.unique("order")).toMatch(/^order-[0-9a-f]{12}$/);
      }),
    ));

  it("names every case once in its suite", () => {
    for (const cases of new Set(mutants.map((mutant) => mutant.cases))) {
      expect(new Set(cases.map((example) => example.name)).size).toBe(cases.length);
    }
  });
});
