import { type StockCommand, StockLedger } from "@org/saga-core";
import { Contract } from "@org/saga-core/testing";
import { realServer } from "@tools/servers/testing";
import { Deferred, Effect, Layer, Random, Schedule, Scope } from "effect";
import { describe, expect, test } from "vitest";
import { RedisClient, RedisConfig, RedisStockLog } from "../src/index.ts";
import * as StockEntry from "../src/StockEntry.ts";
import * as StockReplica from "../src/StockReplica.ts";
import * as StockShard from "../src/StockShard.ts";
import * as StockSnapshot from "../src/StockSnapshot.ts";
import * as StockStream from "../src/StockStream.ts";
import { Watch } from "../src/StockWatch.ts";
import { booksOf, heldOrders, receive, reserve } from "./StockLogWorld.ts";

const url = realServer("redis") ?? "";

const clientOf = (prefix: string) =>
  Effect.map(
    Layer.build(Layer.fresh(RedisClient.layer.pipe(Layer.provide(RedisConfig.layer({ url, prefix }))))),
    (context) => [Layer.succeedContext(context), Effect.provide(RedisClient.RedisClient, context)] as const,
  );

/** A process of its own. */
const connect = Effect.fnUntraced(function* (prefix: string, options: RedisStockLog.Options) {
  const [layer] = yield* clientOf(prefix);
  return yield* Effect.provide(RedisStockLog.make(options), layer);
});

/** A log of its own, with what came of these commands. */
const begun = Effect.fnUntraced(function* (commands: ReadonlyArray<StockCommand>) {
  const prefix = yield* Contract.unique("snap");
  const log = yield* connect(prefix, { broken: "pass" });
  yield* log.open(0, 1, StockLedger.empty);
  yield* log.execute(0, 1, commands);
  return { prefix, log };
});

/** The shard of another process, what it asks passes by `hook` first. */
const shardOf = Effect.fnUntraced(function* (
  prefix: string,
  hooks: { readonly before?: (operation: string) => Effect.Effect<void>; readonly after?: (operation: string) => Effect.Effect<void> },
) {
  const [, client] = yield* clientOf(prefix);
  const wires = (yield* client).wire;
  const scope = yield* Effect.scope;
  const own = yield* wires;
  const wire: RedisClient.Wire = {
    ...own,
    ask: (operation, mode, run) =>
      Effect.andThen(hooks.before?.(operation) ?? Effect.void, own.ask(operation, mode, run)).pipe(
        Effect.tap(() => hooks.after?.(operation) ?? Effect.void),
      ),
  };
  const keys = StockStream.keysOf(prefix, 0);
  const shard = StockShard.make(wire, keys, "pass", new Watch(Scope.provide(wires, scope), scope, keys));
  const process: StockSnapshot.Process = { wire, scope, nextId: StockEntry.idsOf(yield* Random.next), snapshotAfter: 1 };
  return { shard, process };
});

const prepared = (shard: StockShard.Shard) =>
  Effect.flatMap(StockShard.prepare(shard, 1), (ready) => (ready === null ? Effect.die("no log") : Effect.succeed(ready)));

/** Until the snapshot that was begun is taken, or given up. */
const taken = (shard: StockShard.Shard) =>
  Effect.repeat(
    Effect.sync(() => shard.isSnapshotting),
    { until: (isSnapshotting) => !isSnapshotting, schedule: Schedule.spaced("1 millis") },
  );

describe.runIf(url !== "")("a snapshot beside others", () => {
  test("stands for nothing that another one has trimmed away, however late that is heard of", { timeout: 30_000 }, () =>
    Effect.gen(function* () {
      const { prefix, log } = yield* begun([receive(100)]);
      const faster = yield* Deferred.make<void>();
      const isWaiting = yield* Deferred.make<void>();
      const slow = yield* shardOf(prefix, {
        before: (operation) =>
          operation === "StockLog.snapshot" ? Effect.andThen(Deferred.succeed(isWaiting, undefined), Deferred.await(faster)) : Effect.void,
      });
      const behind = yield* prepared(slow.shard);
      yield* StockSnapshot.begin(slow.process, slow.shard, behind);
      yield* Deferred.await(isWaiting);
      for (const name of ["one", "two", "three"]) yield* log.execute(0, 1, [reserve(name)]);
      yield* StockShard.catchUp(slow.shard, behind);
      const fast = yield* shardOf(prefix, {});
      yield* StockSnapshot.begin(fast.process, fast.shard, yield* prepared(fast.shard));
      yield* taken(fast.shard);
      yield* Deferred.succeed(faster, undefined);
      yield* taken(slow.shard);
      yield* log.execute(0, 1, [reserve("last")]);
      const known = yield* log.read(0, 1);
      const newcomer = yield* (yield* connect(prefix, { broken: "pass" })).read(0, 1);
      expect({ books: booksOf(newcomer), held: heldOrders(newcomer) }).toEqual({ books: booksOf(known), held: heldOrders(known) });
      expect(heldOrders(newcomer).length).toBe(4);
    }).pipe(Effect.scoped, Effect.runPromise),
  );

  test("leaves its process at the end of the log, also if a reader comes upon its entry first", () =>
    Effect.gen(function* () {
      const { prefix } = yield* begun([receive(10), reserve("first")]);
      let read: Effect.Effect<void> = Effect.void;
      const { shard, process } = yield* shardOf(prefix, {
        after: (operation) => (operation === "StockLog.execute" ? read : Effect.void),
      });
      const ready = yield* prepared(shard);
      read = Effect.ignore(StockShard.catchUp(shard, ready));
      yield* StockSnapshot.begin(process, shard, ready);
      yield* taken(shard);
      expect(`1-${ready.replica.n}`).toBe(yield* StockStream.top(ready.line));
      expect(ready.replica.tail).toBeGreaterThan(0);
    }).pipe(Effect.scoped, Effect.runPromise));

  test("removes what another process kept, and did not live to name", () =>
    Effect.gen(function* () {
      const { prefix, log } = yield* begun([receive(10), reserve("first")]);
      const { shard, process } = yield* shardOf(prefix, {});
      const ready = yield* prepared(shard);
      const orphan = Effect.gen(function* () {
        yield* StockStream.draft(ready.line, "orphan", StockReplica.pagesOf(ready.replica.fold, 0));
        expect(yield* StockStream.keep(ready.line, "orphan")).toBe(true);
      });
      yield* orphan;
      yield* StockSnapshot.begin(process, shard, ready);
      yield* taken(shard);
      expect(yield* StockStream.pages(ready.line, "orphan", () => undefined)).toBeNull();
      const newcomer = yield* connect(prefix, { broken: "pass" });
      expect(heldOrders(yield* newcomer.read(0, 1))).toEqual(["first"]);
      expect((yield* StockStream.kept(ready.line)).length).toBe(1);
      yield* orphan;
      yield* log.open(0, 2, ready.replica.fold);
      expect(yield* StockStream.pages(ready.line, "orphan", () => undefined)).toBeNull();
      expect(heldOrders(yield* newcomer.read(0, 2))).toEqual(["first"]);
      expect((yield* StockStream.kept(ready.line)).length).toBe(1);
    }).pipe(Effect.scoped, Effect.runPromise));
});
