/**
 * The contender: a saga of four steps that this process does itself. A step begins after the commit that asks for it, the next
 * one after the commit that holds its outcome; the instances share their commits.
 */
import { DirectSaga, SagaStore } from "@org/saga-core";
import { PgStores } from "@org/saga-postgres";
import { Effect } from "effect";
import * as Serve from "../Serve.ts";
import * as Checkout from "./Checkout.ts";
import * as Workload from "./Workload.ts";

const SCHEMA = "ours";

const program = Effect.gen(function* () {
  const saga = yield* DirectSaga.make(Checkout.direct);
  const sagas = yield* SagaStore;
  Serve.serve({
    run: ({ millis = 0, inFlight = 1, round = 0 }) => {
      let begun = 0;
      let completed = 0;
      const start = performance.now();
      const lane = Effect.gen(function* () {
        while (performance.now() - start < millis) {
          const id = `${round}-${begun++}`;
          if ((yield* saga.run(id, Workload.order(id))) === "completed") completed += 1;
        }
      });
      const lanes = Effect.forEach(Array.from({ length: inFlight }), () => lane, { concurrency: "unbounded", discard: true });
      return Effect.runPromise(Effect.map(lanes, () => ({ done: completed, seconds: (performance.now() - start) / 1_000 })));
    },
    audit: async () => {
      const counts = await Effect.runPromise(sagas.count(Checkout.definition.name));
      const ran = Object.fromEntries(Checkout.ran().map((count, index) => [Workload.STEPS[index] ?? "", count] as const));
      return { completed: counts.get("completed") ?? 0, instances: [...counts.values()].reduce((sum, count) => sum + count, 0), ...ran };
    },
  });
  return yield* Effect.never;
});

const stores = PgStores.layer({ url: process.env["BENCH_PG_URL"] ?? "", schema: SCHEMA });

Effect.runFork(Effect.scoped(program).pipe(Effect.provide(stores), Effect.tapCause(Effect.logError)));
