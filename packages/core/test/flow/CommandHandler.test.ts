/** Users' own writes beside those of the flow: `project` in a batch, `runAlone` for decisions that need SQL of their own. */
import { Effect, Exit, Result, Schema } from "effect";
import { describe, expect, it } from "vitest";
import {
  Aggregate,
  CommandHandler,
  type Decider,
  DocumentAggregate,
  DocumentStore,
  type IdempotencyKeys,
  type Inbox,
  Mailbox,
  type Outbox,
  StoreError,
  type Timers,
  type Transaction,
  UnitOfWork,
} from "@org/saga-core";
import { simulate } from "./Harness.ts";

type Command = { readonly _tag: "Add"; readonly by: number };
type Event = { readonly _tag: "Added"; readonly by: number };

/** A counter that refuses to pass ten. */
const decider: Decider.Decider<number, Command, Event, { readonly _tag: "TooMuch" }> = {
  initial: 0,
  decide: (state, { by }) => {
    if (state + by > 10) return Result.fail({ _tag: "TooMuch" });
    return Result.succeed(by === 0 ? [] : [{ _tag: "Added", by }]);
  },
  evolve: (state, { by }) => state + by,
};

const counter = DocumentAggregate.make({
  name: "counter",
  decider,
  schema: Schema.Int,
  rejection: Schema.TaggedStruct("TooMuch", {}),
  fromMessage: (): Command | null => null,
  fromTimer: (): Command => ({ _tag: "Add", by: 1 }),
  react: () => ({ drafts: [], timers: [] }),
});

type State = DocumentAggregate.Revised<number>;
type Answer = DocumentAggregate.Answer<{ readonly _tag: "TooMuch" }>;
type Request = Aggregate.Request<(now: number) => Command>;
type Accepted = CommandHandler.Accepted<State, (now: number) => Command, Answer>;

const add = (key: string, by: number, idempotencyKey?: string): Request =>
  Aggregate.request<(now: number) => Command>(key, () => ({ _tag: "Add", by }), {
    idempotency: idempotencyKey === undefined ? null : { scope: "s", key: idempotencyKey, fingerprint: "f" },
  });

const note = (id: string, state: unknown) =>
  Effect.flatMap(DocumentStore, (store) => store.save([{ kind: "note", id, revision: 1, state }]));
const find = (kind: string, ids: ReadonlyArray<string>) =>
  Effect.flatMap(DocumentStore, (store) =>
    Effect.map(store.find(kind, ids), (found) => new Map([...found].map(([id, { state }]) => [id, state]))),
  );
const refused = new StoreError({ reason: "Refused", operation: "Test.project", message: "a rule of the user's own" });

describe("a projection", () => {
  /** Projects into a list. It writes as well: a projection that does not is none. */
  const recording = (calls: Array<ReadonlyArray<Accepted>>) =>
    CommandHandler.runBatch(counter, {
      project: (accepted) =>
        Effect.andThen(
          Effect.sync(() => calls.push(accepted)),
          note(`call-${calls.length}`, accepted.length),
        ),
    });

  it("sees what changed something, in order, each with the state that it met", () => {
    const calls: Array<ReadonlyArray<Accepted>> = [];
    simulate(() =>
      Effect.gen(function* () {
        yield* recording(calls)([add("b", 4, "k"), add("a", 0), add("b", 4, "k"), add("b", 99), add("a", 7), add("b", 1)]);
      }),
    );
    expect(calls).toHaveLength(1);
    expect(calls[0]?.map(({ key, before, after, answer }) => [key, before.state, after.state, answer._tag])).toEqual([
      ["b", 0, 4, "Accepted"],
      ["a", 0, 7, "Accepted"],
      ["b", 4, 5, "Accepted"],
    ]);
    expect(calls[0]?.map(({ input }) => (input._tag === "Request" ? input.command(0).by : null))).toEqual([4, 7, 1]);
  });

  it("is not called for what changes nothing: refusals, repetitions, no-ops", () => {
    const calls: Array<ReadonlyArray<Accepted>> = [];
    simulate(() =>
      Effect.gen(function* () {
        const run = recording(calls);
        yield* run([add("a", 1, "k")]);
        yield* run([add("a", 1, "k"), add("a", 99), add("a", 0)]);
        yield* run([]);
      }),
    );
    expect(calls.map((accepted) => accepted.length)).toEqual([1]);
  });

  it("is committed with the batch, and sees what the batch wrote", () => {
    simulate(() =>
      Effect.gen(function* () {
        const seen: Array<unknown> = [];
        yield* CommandHandler.runBatch(counter, {
          project: (accepted) =>
            Effect.gen(function* () {
              const keys = accepted.map(({ key }) => key);
              const loaded = yield* (yield* DocumentStore).load("counter", keys);
              seen.push(...keys.map((key) => loaded.get(key)?.state));
              yield* note("projected", keys);
            }),
        })([add("a", 1), add("b", 2)]);
        expect(seen).toEqual([1, 2]);
        expect(yield* find("note", ["projected"])).toEqual(new Map([["projected", ["a", "b"]]]));
      }),
    );
  });

  it("that refuses an item poisons this item alone: its neighbours are projected, without it", () => {
    simulate(() =>
      Effect.gen(function* () {
        let attempts = 0;
        const box = yield* Mailbox.make({
          name: "counter",
          key: Aggregate.keyOf<(now: number) => Command>,
          run: CommandHandler.runBatch(counter, {
            project: (accepted) =>
              Effect.gen(function* () {
                attempts += 1;
                for (const { key } of accepted) yield* note(`of-${key}`, key);
                if (accepted.some(({ key }) => key === "bad")) return yield* refused;
              }),
          }),
        });
        const keys = ["a", "b", "bad", "c", "d"];
        const exits = yield* box.submitAll(keys.map((key) => add(key, 1)));
        expect(exits.map((exit) => Exit.isSuccess(exit))).toEqual([true, true, false, true, true]);
        expect(JSON.stringify(exits[2])).toMatch(/Poisoned.*a rule of the user's own/);
        expect([...(yield* find("counter", keys)).keys()].toSorted()).toEqual(["a", "b", "c", "d"]);
        expect(
          [
            ...(yield* find(
              "note",
              keys.map((key) => `of-${key}`),
            )).keys(),
          ].toSorted(),
        ).toEqual(["of-a", "of-b", "of-c", "of-d"]);
        expect(attempts).toBeGreaterThan(2);
      }),
    );
  });
});

describe("a decision alone", () => {
  /** Adds only while a limit, kept elsewhere, is not reached: two rows, one decision. */
  const limited = CommandHandler.runAlone(counter, (state, input: Aggregate.Input<(now: number) => Command>, now) =>
    Effect.gen(function* () {
      const store = yield* DocumentStore;
      const limit = (yield* store.load("limit", ["all"])).get("all");
      if (limit !== undefined && limit.state === 0) return yield* Effect.fail("exhausted" as const);
      const decision = counter.decide(state, input, now);
      if (decision.answer._tag !== "Accepted") return decision;
      yield* store.save([
        { kind: "limit", id: "all", revision: (limit?.revision ?? 0) + 1, state: (typeof limit?.state === "number" ? limit.state : 2) - 1 },
      ]);
      return decision;
    }),
  );

  it("is saved like the others, together with what it wrote itself", () => {
    simulate(() =>
      Effect.gen(function* () {
        expect(yield* limited([add("a", 3, "k-1")])).toEqual([{ _tag: "Answered", answer: { _tag: "Accepted" }, repeated: false }]);
        expect(yield* find("counter", ["a"])).toEqual(new Map([["a", 3]]));
        expect(yield* find("limit", ["all"])).toEqual(new Map([["all", 1]]));
      }),
    );
  });

  it("is not made again under the same idempotency key", () => {
    simulate(() =>
      Effect.gen(function* () {
        yield* limited([add("a", 3, "k-1")]);
        expect(yield* limited([add("a", 3, "k-1")])).toEqual([{ _tag: "Answered", answer: { _tag: "Accepted" }, repeated: true }]);
        expect(yield* find("limit", ["all"])).toEqual(new Map([["all", 1]]));
      }),
    );
  });

  it("that fails writes nothing, remembers nothing, and is the caller's own", () => {
    simulate(() =>
      Effect.gen(function* () {
        yield* limited([add("a", 1)]);
        yield* limited([add("a", 1)]);
        expect(yield* Effect.flip(limited([add("a", 1, "k-2")]))).toBe("exhausted");
        expect(yield* find("counter", ["a"])).toEqual(new Map([["a", 2]]));
        const raise = Effect.flatMap(DocumentStore, (store) => store.save([{ kind: "limit", id: "all", revision: 3, state: 1 }]));
        yield* (yield* UnitOfWork).commit(raise);
        expect(yield* limited([add("a", 1, "k-2")])).toEqual([{ _tag: "Answered", answer: { _tag: "Accepted" }, repeated: false }]);
      }),
    );
  });

  it("takes one input at a time, and says so", () => {
    simulate(() =>
      Effect.gen(function* () {
        expect(yield* Effect.flip(limited([add("a", 1), add("b", 1)]))).toMatchObject({
          reason: "Misuse",
          message: "counter decides one input at a time: its mailbox needs batchMax: 1",
        });
        expect(yield* limited([])).toEqual([]);
      }),
    );
  });

  it("runs behind a mailbox with batchMax 1: a rule that is broken is the item's own fault", () => {
    simulate(() =>
      Effect.gen(function* () {
        const box = yield* Mailbox.make({
          name: "alone",
          key: Aggregate.keyOf<(now: number) => Command>,
          batchMax: 1,
          run: CommandHandler.runAlone(counter, (state, input: Aggregate.Input<(now: number) => Command>, now) =>
            Effect.andThen(
              note(Aggregate.keyOf(input), now),
              Aggregate.keyOf(input) === "bad" ? Effect.fail(refused) : Effect.sync(() => counter.decide(state, input, now)),
            ),
          ),
        });
        const exits = yield* box.submitAll(["a", "bad", "b"].map((key) => add(key, 1)));
        expect(exits.map((exit) => Exit.isSuccess(exit))).toEqual([true, false, true]);
        expect([...(yield* find("note", ["a", "bad", "b"])).keys()].toSorted()).toEqual(["a", "b"]);
        expect([...(yield* find("counter", ["a", "bad", "b"])).keys()].toSorted()).toEqual(["a", "b"]);
      }),
    );
  });
});

describe("types", () => {
  type Requirements<F> = F extends (...args: never) => Effect.Effect<unknown, unknown, infer R> ? R : never;
  type Same<X, Y> = [X] extends [Y] ? ([Y] extends [X] ? true : false) : false;
  type Flow = UnitOfWork | Inbox | Outbox | Timers | IdempotencyKeys | DocumentStore;
  const outside: Effect.Effect<void, StoreError> = Effect.void;

  it("a projection uses the transaction, and only a commit provides it", () => {
    const plain = CommandHandler.runBatch(counter);
    const projecting = CommandHandler.runBatch(counter, { project: () => note("a", 1) });
    const same: [Same<Requirements<typeof plain>, Flow>, Same<Requirements<typeof projecting>, Flow>] = [true, true];
    const needs: Same<Effect.Services<ReturnType<typeof note>>, DocumentStore | Transaction> = true;
    expect([...same, needs]).toEqual([true, true, true]);
  });

  it("what does not use the transaction is no projection: it would not be rolled back", () => {
    // @ts-expect-error: it needs no Transaction
    expect(CommandHandler.runBatch(counter, { project: () => outside })).toBeTypeOf("function");
    // @ts-expect-error: a projection that is given is not undefined
    expect(CommandHandler.runBatch(counter, {})).toBeTypeOf("function");
  });
});

describe("an input that begins an aggregate", () => {
  /** Counts what is loaded. `begins`: the first addition to a counter. */
  const counting = (loaded: Array<ReadonlyArray<string>>) => ({
    ...counter,
    begins: (input: Aggregate.Input<(now: number) => Command>) => input._tag === "Request" && input.command(0).by === 1,
    load: (keys: ReadonlyArray<string>) =>
      Effect.andThen(
        Effect.sync(() => loaded.push(keys)),
        counter.load(keys),
      ),
  });

  it("is decided without a look at what is stored, beside others that are not", () => {
    const loaded: Array<ReadonlyArray<string>> = [];
    const found = simulate(() =>
      Effect.gen(function* () {
        const run = CommandHandler.runBatch(counting(loaded));
        yield* run([add("a", 1), add("b", 1)]);
        yield* run([add("c", 1), add("b", 2)]);
        return yield* find("counter", ["a", "b", "c"]);
      }),
    );
    expect(loaded).toEqual([["b"]]);
    expect([...found]).toEqual([
      ["a", 1],
      ["b", 3],
      ["c", 1],
    ]);
  });

  it("is decided upon what is there after all, when its batch runs again", () => {
    const loaded: Array<ReadonlyArray<string>> = [];
    const found = simulate(() =>
      Effect.gen(function* () {
        const run = CommandHandler.runBatch(counting(loaded));
        const mailbox = yield* Mailbox.make({ name: "counter", key: ({ key }: Request) => key, run });
        yield* mailbox.submit(add("a", 1));
        yield* mailbox.submit(add("a", 1));
        return yield* find("counter", ["a"]);
      }),
    );
    expect(loaded).toEqual([["a"]]);
    expect([...found]).toEqual([["a", 2]]);
  });
});
