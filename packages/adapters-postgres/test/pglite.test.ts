/** One PGlite instance, several services, users beside them. */
import { mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DocumentStore, IdempotencyKeys, Outbox, OUTBOX_SHARDS, Shard, UnitOfWork } from "@org/saga-core";
import { drizzle } from "drizzle-orm/pglite";
import { sql } from "drizzle-orm";
import { Deferred, Effect, Fiber, type Layer, ManagedRuntime } from "effect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import * as PgClient from "../src/PgClient.ts";
import * as PgliteDriver from "../src/PgliteDriver.ts";
import * as PgliteInstance from "../src/PgliteInstance.ts";
import * as PgStores from "../src/PgStores.ts";
import * as Embedded from "./Embedded.ts";
import { document, message } from "./Samples.ts";

const embedded = await Embedded.start();
const { instance } = embedded;
const order = ManagedRuntime.make(PgStores.layerPglite(instance, "order"));
const checkout = ManagedRuntime.make(PgStores.layerPglite(instance, "checkout"));

beforeAll(async () => {
  await Promise.all([order.context(), checkout.context()]);
  await instance.exec("create table notes (text text primary key)");
});

afterAll(async () => {
  await Promise.all([order.dispose(), checkout.dispose()]);
  await embedded.close();
});

type Stores = Layer.Success<ReturnType<typeof PgStores.layerPglite>>;

const save = (id: string, state: unknown = {}) =>
  Effect.flatMap(UnitOfWork, (unit) => unit.commit(Effect.flatMap(DocumentStore, (store) => store.save([document(id, 1, state)]))));

const find = (id: string) =>
  Effect.flatMap(DocumentStore, (store) => Effect.map(store.find("note", [id]), (found) => found.get(id)?.state));

describe("services on one embedded database", () => {
  it("have a schema each, and do not see each other's data", async () => {
    await order.runPromise(save("shared-id", "of the order"));
    expect(await order.runPromise(find("shared-id"))).toBe("of the order");
    expect(await checkout.runPromise(find("shared-id"))).toBeUndefined();
  });

  it("have one driver, so that each knows of the other's transactions", async () => {
    const driverOf = Effect.map(PgClient.PgClient, (client) => client.driver);
    expect(await order.runPromise(driverOf)).toBe(await checkout.runPromise(driverOf));
    expect(PgliteDriver.of(instance)).toBe(await order.runPromise(driverOf));
  });

  it("wait for each other's transactions, and for those of users", async () => {
    const log: Array<string> = [];
    const slow: Effect.Effect<void, unknown, Stores> = Effect.flatMap(UnitOfWork, (unit) =>
      unit.commit(
        Effect.andThen(
          Effect.sleep("50 millis"),
          Effect.sync(() => log.push("first")),
        ),
      ),
    );
    const first = order.runPromise(slow);
    const second = checkout.runPromise(
      Effect.andThen(
        save("second"),
        Effect.sync(() => log.push("second")),
      ),
    );
    const third = instance.query("select 1").then(() => log.push("user"));
    await Promise.all([first, second, third]);
    expect(log[0]).toBe("first");
    expect(log.toSorted()).toEqual(["first", "second", "user"]);
  });

  it("may read each other inside a transaction without waiting for themselves", async () => {
    const other = await checkout.runPromise(DocumentStore);
    await checkout.runPromise(save("readable", "seen"));
    const seen = await order.runPromise(Effect.flatMap(UnitOfWork, (unit) => unit.commit(other.find("note", ["readable"]))));
    expect(seen.get("readable")?.state).toBe("seen");
  });

  it("refuse the transaction of one in the commit of the other", async () => {
    const other = await checkout.runPromise(UnitOfWork);
    const nested = Effect.flatMap(UnitOfWork, (unit) => unit.commit(other.commit(Effect.void)));
    expect(await order.runPromise(Effect.flip(nested))).toMatchObject({ reason: "Misuse", message: "commits are not nested" });
  });
});

describe("what is not JSON", () => {
  it("is refused as a state and as an answer, and the transaction with it", async () => {
    const key = { scope: "me", key: "bigint", fingerprint: "x" };
    const answered = Effect.gen(function* () {
      const keys = yield* IdempotencyKeys;
      const unit = yield* UnitOfWork;
      const claimed = Effect.andThen(keys.claim([key]), Effect.exit(keys.record([{ key, answer: 1n }])));
      return { refused: yield* Effect.flip(unit.commit(claimed)), again: yield* unit.commit(keys.claim([key])) };
    });
    expect(await order.runPromise(Effect.flip(save("bigint", 1n)))).toMatchObject({
      reason: "Refused",
      message: "the state is not a JSON value",
    });
    const { refused, again } = await order.runPromise(answered);
    expect(refused).toMatchObject({ reason: "Refused", message: "the answer is not a JSON value" });
    expect(again).toEqual([{ _tag: "New" }]);
  });
});

describe("an embedded outbox", () => {
  it("holds no transaction open while the bus works, so that its handlers can write", async () => {
    const key = "embedded-1";
    const drained = Effect.gen(function* () {
      const outbox = yield* Outbox;
      const writer = yield* DocumentStore;
      const unit = yield* UnitOfWork;
      yield* unit.commit(outbox.append([message(key, { n: 1 })]));
      return yield* outbox.drain(Shard.of(key, OUTBOX_SHARDS), 10, (batch) =>
        Effect.as(
          Effect.orDie(unit.commit(writer.save([document("written-by-handler", 1, {})]))),
          batch.map(() => "Published" as const),
        ),
      );
    });
    expect(await order.runPromise(drained)).toEqual({ _tag: "Drained", published: 1, refused: 0, held: 0 });
    expect(await order.runPromise(find("written-by-handler"))).toEqual({});
  });

  it("has one owner a shard and schema: the same shard of another service is free", async () => {
    const key = "embedded-2";
    const shard = Shard.of(key, OUTBOX_SHARDS);
    const other = await checkout.runPromise(Outbox);
    const outcome = Effect.gen(function* () {
      const outbox = yield* Outbox;
      yield* (yield* UnitOfWork).commit(outbox.append([message(key, {})]));
      const [reached, proceed] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()];
      const first = yield* Effect.forkChild(
        outbox.drain(shard, 10, (batch) =>
          Effect.as(
            Effect.andThen(Deferred.succeed(reached, undefined), Deferred.await(proceed)),
            batch.map(() => "Published" as const),
          ),
        ),
      );
      yield* Deferred.await(reached);
      const publish = () => Effect.succeed([]);
      const same = yield* outbox.drain(shard, 10, publish);
      const elsewhere = yield* other.drain(shard, 10, publish);
      yield* Deferred.succeed(proceed, undefined);
      return [same._tag, elsewhere._tag, (yield* Fiber.join(first))._tag, (yield* outbox.drain(shard, 10, publish))._tag];
    });
    expect(await order.runPromise(outcome)).toEqual(["Busy", "Drained", "Drained", "Drained"]);
  });

  it("refuses a drain inside of a transaction", async () => {
    const inside = Effect.gen(function* () {
      const outbox = yield* Outbox;
      return yield* Effect.flip((yield* UnitOfWork).commit(outbox.drain(0, 1, () => Effect.succeed([]))));
    });
    expect(await order.runPromise(inside)).toMatchObject({ reason: "Misuse" });
  });

  it("marks nothing when the answer does not fit the question", async () => {
    const key = "embedded-3";
    const shard = Shard.of(key, OUTBOX_SHARDS);
    const outcome = Effect.gen(function* () {
      const outbox = yield* Outbox;
      yield* (yield* UnitOfWork).commit(outbox.append([message(key, {})]));
      const error = yield* Effect.flip(outbox.drain(shard, 10, () => Effect.succeed([])));
      const again = yield* outbox.drain(shard, 10, (batch) => Effect.succeed(batch.map(() => "Published" as const)));
      return { error, again };
    });
    const { error, again } = await order.runPromise(outcome);
    expect(error).toMatchObject({ reason: "Misuse", message: "0 verdicts for 1 messages" });
    expect(again).toMatchObject({ published: 1 });
  });
});

describe("a user's own statements in the transaction", () => {
  const insertNote = (text: string) =>
    Effect.gen(function* () {
      const native = yield* (yield* PgClient.PgClient).native;
      if (native._tag !== "Pglite") return yield* Effect.die("not embedded");
      const { transaction } = native;
      yield* Effect.promise(() => transaction.query("insert into notes values ($1)", [text]));
    });

  const notes = async () =>
    (await instance.query<{ readonly text: string }>("select text from notes order by text")).rows.map((row) => row.text);

  it("are committed with it, and rolled back with it", async () => {
    const unit = await order.runPromise(UnitOfWork);
    await order.runPromise(unit.commit(insertNote("kept")));
    await order.runPromise(Effect.flip(unit.commit(Effect.andThen(insertNote("dropped"), Effect.fail("no")))));
    expect(await notes()).toEqual(["kept"]);
  });

  it("roll it back when one of them fails, also if nobody looks at the failure", async () => {
    const unit = await order.runPromise(UnitOfWork);
    const body = Effect.andThen(insertNote("unwritten"), Effect.exit(insertNote("unwritten")));
    const error = await order.runPromise(Effect.flip(unit.commit(body)));
    expect(error).toMatchObject({ reason: "Refused" });
    expect(await notes()).not.toContain("unwritten");
  });

  it("may not end it, by whatever way they are sent", async () => {
    const unit = await order.runPromise(UnitOfWork);
    const client = await order.runPromise(PgClient.PgClient);
    for (const send of [client.within("Test.within", "rollback"), client.query("Test.query", "commit")]) {
      const body = Effect.andThen(insertNote("parted"), Effect.exit(send));
      expect(await order.runPromise(Effect.flip(unit.commit(body)))).toMatchObject({ reason: "Misuse" });
    }
    expect(await notes()).not.toContain("parted");
  });

  it("may go through drizzle, before and after", async () => {
    const database = drizzle(instance);
    await database.execute(sql`insert into notes values ('by drizzle')`);
    expect(await notes()).toContain("by drizzle");
  });
});

describe("an embedded database of its own", () => {
  it("lives as long as its scope, and says so afterwards", { timeout: Embedded.START_TIMEOUT_MS }, async () => {
    const closed = await Effect.runPromise(Effect.scoped(PgliteInstance.open({ snapshots: Embedded.SNAPSHOTS })));
    const late = Effect.provide(Effect.flip(save("late")), PgStores.layerClient);
    const client = await Effect.runPromise(PgClient.make(PgliteDriver.of(closed), "late"));
    expect(await Effect.runPromise(Effect.provideService(late, PgClient.PgClient, client))).toMatchObject({ reason: "Unavailable" });
  });

  it(
    "keeps a snapshot of an empty one for the next start, and makes a broken one anew",
    { timeout: 2 * Embedded.START_TIMEOUT_MS },
    async () => {
      const folder = await mkdtemp(join(tmpdir(), "saga-pglite-"));
      try {
        const start = () =>
          Effect.runPromise(
            Effect.scoped(
              Effect.andThen(
                PgliteInstance.open({ snapshots: folder }),
                Effect.sync(() => readdir(folder)),
              ),
            ),
          );
        const [file] = await start();
        expect(file).toMatch(/^pglite-[0-9.]+\.tar\.gz$/);
        const { size } = await stat(join(folder, file ?? ""));
        await writeFile(join(folder, file ?? ""), "broken");
        expect(await start()).toEqual([file]);
        expect(Math.abs((await stat(join(folder, file ?? ""))).size - size)).toBeLessThan(size / 2);
      } finally {
        await rm(folder, { recursive: true });
      }
    },
  );

  it(
    "keeps its data in a folder, and starts without a snapshot where none can be written",
    { timeout: 2 * Embedded.START_TIMEOUT_MS },
    async () => {
      const folder = await mkdtemp(join(tmpdir(), "saga-pglite-"));
      try {
        const write = Effect.flatMap(PgliteInstance.open({ dataDir: join(folder, "data") }), (kept) =>
          Effect.promise(() => kept.exec("create table if not exists kept (n int); insert into kept values (1)")),
        );
        await Effect.runPromise(Effect.scoped(write));
        const read = Effect.flatMap(PgliteInstance.open({ dataDir: join(folder, "data") }), (kept) =>
          Effect.promise(() => kept.query("select n from kept")),
        );
        expect((await Effect.runPromise(Effect.scoped(read))).rows).toEqual([{ n: 1 }]);
        await writeFile(join(folder, "file"), "not a folder");
        const unwritable = PgliteInstance.open({ snapshots: join(folder, "file", "snapshots") });
        expect(await Effect.runPromise(Effect.scoped(Effect.map(unwritable, (one) => one.ready)))).toBe(true);
      } finally {
        await rm(folder, { recursive: true });
      }
    },
  );

  it("refuses a schema name that is none", async () => {
    expect(await Effect.runPromise(Effect.flip(PgClient.make(PgliteDriver.of(instance), 'a"b')))).toMatchObject({ reason: "Misuse" });
  });
});
