/** What every `SagaStore` has to prove. */
import { Effect } from "effect";
import { type SagaRecord, SagaStore } from "../../ports/SagaStore.ts";
import { UnitOfWork } from "../../ports/UnitOfWork.ts";
import * as Contract from "../Contract.ts";
import * as Revisioned from "./Revisioned.ts";

export type Ports = UnitOfWork | SagaStore;

const SAGA = "contract";

const record = (id: string, revision: number, over: Partial<SagaRecord> = {}): SagaRecord => ({
  saga: SAGA,
  version: 1,
  id,
  status: "running",
  revision,
  state: { step: "reserve-stock" },
  ...over,
});

const store: Effect.Effect<Revisioned.Store, never, SagaStore> = Effect.map(SagaStore, (sagas) => ({
  load: (ids) => sagas.load(SAGA, ids),
  save: (rows) => sagas.save(rows.map((row) => record(row.id, row.revision, { state: row.state }))),
  find: (ids) => sagas.find(SAGA, ids),
}));

export const cases: ReadonlyArray<Contract.Case<Ports>> = [
  ...Revisioned.cases("saga", store),
  Contract.check(
    "name, version and status are kept beside the state, and follow each save",
    Effect.gen(function* () {
      const id = yield* Contract.unique("saga");
      const unit = yield* UnitOfWork;
      const sagas = yield* SagaStore;
      const started = record(id, 1, { version: 3 });
      yield* unit.commit(sagas.save([started]));
      yield* Contract.equal((yield* sagas.find(SAGA, [id])).get(id), started, "after the first save");
      const migrated = record(id, 2, { version: 4, status: "compensationFailed", state: ["done"] });
      yield* unit.commit(sagas.save([migrated]));
      yield* Contract.equal((yield* sagas.find(SAGA, [id])).get(id), migrated, "found after the second save");
      yield* Contract.equal((yield* unit.commit(sagas.load(SAGA, [id]))).get(id), migrated, "loaded after the second save");
    }),
  ),
  Contract.check(
    "sagas do not share their instances' ids",
    Effect.gen(function* () {
      const id = yield* Contract.unique("saga");
      const other = yield* Contract.unique("other");
      const unit = yield* UnitOfWork;
      const sagas = yield* SagaStore;
      yield* unit.commit(sagas.save([record(id, 1), record(id, 1, { saga: other, status: "completed" })]));
      yield* Contract.equal((yield* sagas.find(SAGA, [id])).get(id)?.status, "running", "one saga");
      yield* Contract.equal((yield* sagas.find(other, [id])).get(id)?.status, "completed", "the other one");
    }),
  ),
  Contract.check(
    "committed instances are counted by status",
    Effect.gen(function* () {
      const saga = yield* Contract.unique("saga");
      const unit = yield* UnitOfWork;
      const sagas = yield* SagaStore;
      yield* Contract.equal((yield* sagas.count(saga)).size, 0, "statuses of a saga that has no instance");
      const ids = ["a", "b", "c", "d"];
      yield* unit.commit(sagas.save(ids.map((id) => record(id, 1, { saga }))));
      yield* unit.commit(sagas.save([record("a", 2, { saga, status: "completed" })]));
      yield* Effect.exit(unit.commit(Effect.andThen(sagas.save([record("e", 1, { saga })]), Effect.fail("no"))));
      const counts = yield* sagas.count(saga);
      yield* Contract.equal([counts.get("running"), counts.get("completed"), counts.size], [3, 1, 2], "counts");
    }),
  ),
  Contract.check(
    "live instances are counted by version: those that rest in an undo that was refused, too",
    Effect.gen(function* () {
      const saga = yield* Contract.unique("saga");
      const unit = yield* UnitOfWork;
      const sagas = yield* SagaStore;
      const statuses = ["running", "compensating", "compensationFailed", "completed", "compensated"];
      const rows = statuses.flatMap((status) => [1, 2].map((version) => record(`${status}${version}`, 1, { saga, status, version })));
      yield* unit.commit(sagas.save([...rows, record("one", 1, { saga, version: 2 })]));
      yield* Contract.equal(
        [...(yield* sagas.countLive(saga))].toSorted(([a], [b]) => a - b),
        [
          [1, 3],
          [2, 4],
        ],
        "live instances",
      );
    }),
  ),
  Contract.check(
    "live instances are counted by version and by whether their state has a member",
    Effect.gen(function* () {
      const saga = yield* Contract.unique("saga");
      const unit = yield* UnitOfWork;
      const sagas = yield* SagaStore;
      const states = [{ mark: 0 }, { mark: null }, { of: { mark: 1 } }, ["mark"], "mark", null, 1];
      const rows = states.map((state, index) => record(`s${index}`, 1, { saga, version: index < 2 ? 1 : 2, state }));
      yield* unit.commit(sagas.save([...rows, record("one", 1, { saga, version: 2, state: { mark: [] } })]));
      yield* unit.commit(sagas.save([record("over", 1, { saga, status: "completed", state: { mark: 1 } })]));
      yield* Contract.equal(
        (yield* sagas.countLiveBy(saga, "mark")).toSorted((a, b) => a.live - b.live),
        [
          { version: 2, has: true, live: 1 },
          { version: 1, has: true, live: 2 },
          { version: 2, has: false, live: 5 },
        ],
        "live instances",
      );
    }),
  ),
  Contract.check(
    "a saga's shapes are those of its parts, too, by name and version",
    Effect.gen(function* () {
      const saga = yield* Contract.unique("saga");
      const unit = yield* UnitOfWork;
      const sagas = yield* SagaStore;
      const shapeOf = (name: string, version: number) => ({ saga: name, version, fingerprint: "aa", shape: null });
      const kept = [shapeOf(saga, 1), shapeOf(saga, 2), shapeOf(`${saga}/order`, 1), shapeOf(`${saga}/payment`, 1)];
      yield* unit.commit(sagas.keepShapes([...kept.toReversed(), shapeOf(`${saga}-2`, 1)]));
      yield* Contract.equal(yield* sagas.shapes(saga), kept, "of the whole");
      yield* Contract.equal(yield* sagas.shapes(`${saga}/order`), [shapeOf(`${saga}/order`, 1)], "of a part");
    }),
  ),
  Contract.check(
    "the first shape of a version stays, with its keys in their order",
    Effect.gen(function* () {
      const saga = yield* Contract.unique("saga");
      const unit = yield* UnitOfWork;
      const sagas = yield* SagaStore;
      const first = { saga, version: 1, fingerprint: "aa", shape: { z: 1, a: { c: [], b: null } } };
      yield* unit.commit(sagas.keepShapes([first]));
      yield* unit.commit(
        sagas.keepShapes([
          { ...first, fingerprint: "bb", shape: {} },
          { ...first, version: 2 },
        ]),
      );
      yield* Effect.exit(unit.commit(Effect.andThen(sagas.keepShapes([{ ...first, version: 3 }]), Effect.fail("no"))));
      const kept = yield* sagas.shapes(saga);
      const versions = kept.map(({ version }) => version);
      yield* Contract.equal(versions, [1, 2], "versions");
      yield* Contract.equal(JSON.stringify(kept[0]?.shape), JSON.stringify(first.shape), "the shape");
      yield* Contract.equal(kept[0]?.fingerprint, "aa", "the fingerprint");
    }),
  ),
];
