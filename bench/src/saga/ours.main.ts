/**
 * The contender: a saga of four steps that this process does itself. A step begins after the commit that asks for it, the next
 * one after the commit that holds its outcome; the instances share their commits.
 */
import { DirectSaga, Message, Saga, SagaStore } from "@org/saga-core";
import { PgStores } from "@org/saga-postgres";
import { Effect, Schema } from "effect";
import * as Serve from "../Serve.ts";
import * as Workload from "./Workload.ts";

const SCHEMA = "ours";

const Ref = Schema.Struct({ id: Schema.String });
const Answer = Schema.Struct({ id: Schema.String, at: Schema.Int });
const Data = Schema.Struct({
  id: Schema.String,
  customer: Schema.String,
  lines: Schema.Array(Schema.Struct({ sku: Schema.String, quantity: Schema.Int })),
  amount: Schema.Int,
});
type Data = typeof Data.Type;

const topic = { topic: "bench.steps", key: ({ id }: { readonly id: string }) => id };

const TIMEOUT_MS = 10_000;

/** How often each step ran. */
const ran = Object.fromEntries(Workload.STEPS.map((name) => [name, 0]));

const partOf = (name: (typeof Workload.STEPS)[number]) => {
  const command = Message.command(`bench.${name}.v1`, Ref, topic);
  const done = Message.event(`bench.${name}-done.v1`, Answer, topic);
  const options = {
    send: command,
    with: ({ id }: Data) => ({ id }),
    done,
    undo: { none: "nothing fails here" },
    timeout: TIMEOUT_MS,
  };
  const perform = DirectSaga.step(command, ({ id }) =>
    Effect.sync(() => {
      ran[name] = (ran[name] ?? 0) + 1;
      return DirectSaga.outcome(done, { id, at: Date.now() });
    }),
  );
  return { options, perform };
};

const [reserve, authorize, capture, ship] = [partOf("reserve"), partOf("authorize"), partOf("capture"), partOf("ship")];

const definition = Saga.make("checkout", { version: 1, data: Data }).pipe(
  Saga.step("reserve", reserve.options),
  Saga.step("authorize", authorize.options),
  Saga.pivot("capture", capture.options),
  Saga.retriable("ship", ship.options),
);

const program = Effect.gen(function* () {
  const saga = yield* DirectSaga.make({ definition, steps: [reserve, authorize, capture, ship].map(({ perform }) => perform) });
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
      const counts = await Effect.runPromise(sagas.count(definition.name));
      return { completed: counts.get("completed") ?? 0, instances: [...counts.values()].reduce((sum, count) => sum + count, 0), ...ran };
    },
  });
  return yield* Effect.never;
});

const stores = PgStores.layer({ url: process.env["BENCH_PG_URL"] ?? "", schema: SCHEMA });

Effect.runFork(Effect.scoped(program).pipe(Effect.provide(stores), Effect.tapCause(Effect.logError)));
