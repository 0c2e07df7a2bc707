/**
 * What documents and saga instances have in common: a state a key, guarded by a revision. The cases are written once and
 * run for both stores.
 */
import { Effect, Exit, Fiber } from "effect";
import type { StoreError } from "../../ports/StoreError.ts";
import { type Transaction, UnitOfWork } from "../../ports/UnitOfWork.ts";
import * as Contract from "../Contract.ts";

export interface Row {
  readonly id: string;
  readonly revision: number;
  readonly state: unknown;
}

/** A store of `Row`s of one kind. */
export interface Store {
  readonly load: (ids: ReadonlyArray<string>) => Effect.Effect<ReadonlyMap<string, Row>, StoreError, Transaction>;
  readonly save: (rows: ReadonlyArray<Row>) => Effect.Effect<void, StoreError, Transaction>;
  readonly find: (ids: ReadonlyArray<string>) => Effect.Effect<ReadonlyMap<string, Row>, StoreError>;
}

/** Everything that JSON can say. */
const RICH = {
  text: 'Grüße 👋 "quoted" \\ \n',
  zero: 0,
  float: 1.5,
  big: 9_007_199_254_740_991,
  no: false,
  nothing: null,
  list: [[], {}, ["x"]],
};

const row = (id: string, revision: number, state: unknown = { revision }): Row => ({ id, revision, state });

const summary = (rows: ReadonlyMap<string, Row>): ReadonlyArray<readonly [string, number, unknown]> =>
  [...rows.values()]
    .map(({ id, revision, state }) => [id, revision, state] as const)
    .toSorted(([left], [right]) => (left < right ? -1 : 1));

export const cases = <R>(kind: string, open: Effect.Effect<Store, never, R>): ReadonlyArray<Contract.Case<R | UnitOfWork>> => {
  const check = (name: string, run: (store: Store, unit: UnitOfWork["Service"], id: string) => Effect.Effect<void, unknown, never>) =>
    Contract.check(
      name,
      Effect.gen(function* () {
        yield* run(yield* open, yield* UnitOfWork, yield* Contract.unique(kind));
      }),
    );
  return [
    check(`a saved ${kind} is found again, with any JSON value as its state`, (store, unit, id) =>
      Effect.gen(function* () {
        const states: ReadonlyArray<unknown> = [RICH, [1, [2]], "text", 7, true, null];
        for (const [index, state] of states.entries()) yield* unit.commit(store.save([row(`${id}-${index}`, 1, state)]));
        const ids = states.map((_, index) => `${id}-${index}`);
        const expected = states.map((state, index) => [`${id}-${index}`, 1, state]);
        yield* Contract.equal(summary(yield* store.find(ids)), expected, "found");
        yield* Contract.equal(summary(yield* unit.commit(store.load(ids))), expected, "loaded");
      }),
    ),
    check(`a ${kind} that does not exist is absent, and nothing is asked for nothing`, (store, unit, id) =>
      Effect.gen(function* () {
        yield* unit.commit(store.save([row(id, 1)]));
        yield* Contract.equal(summary(yield* store.find([`${id}-other`])), [], "found");
        yield* Contract.equal(summary(yield* unit.commit(store.load([`${id}-other`, id]))), [[id, 1, { revision: 1 }]], "loaded");
        yield* Contract.equal((yield* store.find([])).size, 0, "found of none");
        yield* Contract.equal((yield* unit.commit(store.load([]))).size, 0, "loaded of none");
        yield* unit.commit(store.save([]));
      }),
    ),
    check(`an id asked for twice is one ${kind}`, (store, unit, id) =>
      Effect.gen(function* () {
        yield* unit.commit(store.save([row(id, 1)]));
        yield* Contract.equal((yield* store.find([id, id])).size, 1, "found");
        yield* Contract.equal((yield* unit.commit(store.load([id, id]))).size, 1, "loaded");
      }),
    ),
    check("revisions count up by one, many in one save", (store, unit, id) =>
      Effect.gen(function* () {
        const ids = [`${id}-a`, `${id}-b`];
        for (const revision of [1, 2, 3]) yield* unit.commit(store.save(ids.map((one) => row(one, revision))));
        yield* Contract.equal(
          summary(yield* store.find(ids)),
          ids.map((one) => [one, 3, { revision: 3 }]),
          "found",
        );
      }),
    ),
    check("a mixed save inserts the new ones and updates the others", (store, unit, id) =>
      Effect.gen(function* () {
        yield* unit.commit(store.save([row(`${id}-a`, 1)]));
        yield* unit.commit(store.save([row(`${id}-b`, 1), row(`${id}-a`, 2)]));
        const expected = [
          [`${id}-a`, 2, { revision: 2 }],
          [`${id}-b`, 1, { revision: 1 }],
        ];
        yield* Contract.equal(summary(yield* store.find([`${id}-a`, `${id}-b`])), expected, "found");
      }),
    ),
    check("a transaction loads what it saved", (store, unit, id) =>
      Effect.gen(function* () {
        const body = Effect.andThen(store.save([row(id, 1)]), Effect.andThen(store.save([row(id, 2)]), store.load([id])));
        yield* Contract.equal(summary(yield* unit.commit(body)), [[id, 2, { revision: 2 }]], "loaded");
      }),
    ),
    check("a save that was rolled back is not found", (store, unit, id) =>
      Effect.gen(function* () {
        yield* unit.commit(store.save([row(id, 1)]));
        yield* Effect.exit(unit.commit(Effect.andThen(store.save([row(id, 2), row(`${id}-b`, 1)]), Effect.fail("no"))));
        yield* Contract.equal(summary(yield* store.find([id, `${id}-b`])), [[id, 1, { revision: 1 }]], "found");
      }),
    ),
    check("an insert of what exists, an update of what does not, a stale and a skipped revision are Contention", (store, unit, id) =>
      Effect.gen(function* () {
        yield* Contract.failsWith(unit.commit(store.save([row(id, 2)])), ["Contention"], "an update of nothing");
        yield* unit.commit(store.save([row(id, 1)]));
        yield* Contract.failsWith(unit.commit(store.save([row(id, 1)])), ["Contention"], "a second insert");
        yield* unit.commit(store.save([row(id, 2)]));
        yield* Contract.failsWith(unit.commit(store.save([row(id, 2)])), ["Contention"], "a stale revision");
        yield* Contract.failsWith(unit.commit(store.save([row(id, 4)])), ["Contention"], "a skipped revision");
        yield* Contract.equal(summary(yield* store.find([id])), [[id, 2, { revision: 2 }]], "found");
      }),
    ),
    check("one lost race in a save leaves nothing of the others", (store, unit, id) =>
      Effect.gen(function* () {
        yield* unit.commit(store.save([row(`${id}-b`, 1)]));
        const save = store.save([row(`${id}-a`, 1), row(`${id}-b`, 1), row(`${id}-c`, 1)]);
        yield* Contract.failsWith(unit.commit(save), ["Contention"], "a save with one lost race");
        yield* Contract.equal((yield* store.find([`${id}-a`, `${id}-b`, `${id}-c`])).size, 1, "found");
      }),
    ),
    check("of two concurrent inserts of one id, one wins and the other is Contention", (store, unit, id) =>
      Effect.gen(function* () {
        const [written, finish] = [yield* Contract.gate, yield* Contract.gate];
        const body = Effect.andThen(store.save([row(id, 1, "first")]), Effect.andThen(written.open, finish.passed));
        const first = yield* Effect.forkChild(unit.commit(body));
        yield* written.passed;
        const second = yield* Effect.forkChild(Effect.exit(unit.commit(store.save([row(id, 1, "second")]))));
        yield* Contract.settle;
        yield* Contract.isWaiting(second, "the second insert");
        yield* finish.open;
        yield* Fiber.join(first);
        yield* Contract.failsWith(Effect.flatten(Fiber.join(second)), ["Contention"], "the second insert");
        yield* Contract.equal(summary(yield* store.find([id])), [[id, 1, "first"]], "found");
      }),
    ),
    check("what is loaded stays locked until the transaction ends", (store, unit, id) =>
      Effect.gen(function* () {
        yield* unit.commit(store.save([row(id, 1)]));
        const [loaded, finish] = [yield* Contract.gate, yield* Contract.gate];
        const slow = Effect.andThen(store.load([id]), Effect.andThen(loaded.open, Effect.andThen(finish.passed, store.save([row(id, 2)]))));
        const first = yield* Effect.forkChild(unit.commit(slow));
        yield* loaded.passed;
        const second = yield* Effect.forkChild(unit.commit(store.load([id])));
        yield* Contract.settle;
        yield* Contract.isWaiting(second, "the second load");
        yield* finish.open;
        yield* Fiber.join(first);
        yield* Contract.equal(summary(yield* Fiber.join(second)), [[id, 2, { revision: 2 }]], "loaded after the lock");
      }),
    ),
    check("concurrent read-modify-writes lose nothing", (store, unit, id) =>
      Effect.gen(function* () {
        const writers = 16;
        yield* unit.commit(store.save([row(id, 1)]));
        const increment = Effect.flatMap(store.load([id]), (rows) => store.save([row(id, (rows.get(id)?.revision ?? 0) + 1)]));
        yield* Effect.forEach(Array.from({ length: writers }), () => unit.commit(increment), { concurrency: "unbounded" });
        yield* Contract.equal((yield* store.find([id])).get(id)?.revision, writers + 1, "the last revision");
      }),
    ),
    check("transactions that ask for the same ids in any order do not lock each other out", (store, unit, id) =>
      Effect.gen(function* () {
        const ids = Array.from({ length: 6 }, (_, index) => `${id}-${index}`);
        yield* unit.commit(store.save(ids.map((one) => row(one, 1))));
        const orders = Array.from({ length: 12 }, (_, turn) => (turn % 2 === 0 ? ids : ids.toReversed()));
        const exits = yield* Effect.forEach(
          orders,
          (order) =>
            Effect.exit(
              unit.commit(
                Effect.flatMap(store.load(order), (rows) => store.save([...rows.values()].map((one) => row(one.id, one.revision + 1)))),
              ),
            ),
          { concurrency: "unbounded" },
        );
        yield* Contract.equal(exits.filter(Exit.isSuccess).length, orders.length, "transactions that succeeded");
      }),
    ),
    check("what is not committed is not found", (store, unit, id) =>
      Effect.gen(function* () {
        const [written, finish] = [yield* Contract.gate, yield* Contract.gate];
        const body = Effect.andThen(
          store.save([row(id, 1)]),
          Effect.andThen(written.open, Effect.andThen(finish.passed, Effect.fail("no"))),
        );
        const writer = yield* Effect.forkChild(Effect.exit(unit.commit(body)));
        yield* written.passed;
        // A database with one connection answers only after the rollback: that is fine as well.
        const reader = yield* Effect.forkChild(store.find([id]));
        yield* Contract.settle;
        yield* finish.open;
        yield* Contract.equal((yield* Fiber.join(reader)).size, 0, "found by others");
        yield* Fiber.join(writer);
      }),
    ),
  ];
};
