/** A process on a database that outlives it: runs, crashes at a fault point, runs again. */
import { Effect } from "effect";
import { TestClock } from "effect/testing";
import type * as Message from "../../src/domain/Message.ts";
import * as FaultPoint from "../../src/memory/FaultPoint.ts";
import type * as MemoryDatabase from "../../src/memory/MemoryDatabase.ts";
import * as MemoryStores from "../../src/memory/MemoryStores.ts";
import { DocumentStore } from "../../src/ports/DocumentStore.ts";
import { Outbox, type PublishVerdict } from "../../src/ports/Outbox.ts";
import { UnitOfWork } from "../../src/ports/UnitOfWork.ts";
import * as Samples from "../../src/testing/contracts/Samples.ts";

/** Runs `effect` as a process of its own on `database`. */
export const process = <A, E>(database: MemoryDatabase.Database, effect: Effect.Effect<A, E, MemoryStores.Ports>) =>
  Effect.provide(effect, MemoryStores.layerOf(database));

/** A process that crashes (is interrupted) when it comes to the fault point `name`. */
export const crashAt =
  (name: string) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>) =>
    Effect.provideService(effect, FaultPoint.Handler, (point) => (point === name ? Effect.interrupt : Effect.void));

export const run = <A, E>(effect: Effect.Effect<A, E>): Promise<A> => Effect.runPromise(Effect.provide(effect, TestClock.layer()));

export const KEY = "order-1";

export const SHARD = Samples.shardOf(KEY);

export const write = Effect.gen(function* () {
  const documents = yield* DocumentStore;
  const outbox = yield* Outbox;
  yield* (yield* UnitOfWork).commit(
    Effect.andThen(documents.save([Samples.document(KEY, 1, "written")]), outbox.append([yield* Samples.message(KEY, "written")])),
  );
});

export const publishing = (bus: Array<Message.Encoded>) => (batch: ReadonlyArray<Message.Encoded>) =>
  Effect.sync((): ReadonlyArray<PublishVerdict> => {
    bus.push(...batch);
    return batch.map(() => "Published");
  });

export const relay = (bus: Array<Message.Encoded>) => Effect.flatMap(Outbox, (outbox) => outbox.drain(SHARD, 100, publishing(bus)));

export const counts = (database: MemoryDatabase.Database) => ({
  documents: database.documents.committed.size,
  pending: database.outboxPending.committed.size,
  sent: database.outboxSent.committed.size,
});
