/** Effect's own durable workflows on their engine in memory: a workflow of four activities an order. */
import { Effect, Layer, Schema } from "effect";
import { Activity, Workflow, WorkflowEngine } from "effect/workflow";
import * as Serve from "../Serve.ts";
import { order, STEPS } from "../saga/Workload.ts";

const Answer = Schema.Struct({ id: Schema.String, at: Schema.Int });

const Checkout = Workflow.make("checkout", {
  payload: {
    id: Schema.String,
    customer: Schema.String,
    lines: Schema.Array(Schema.Struct({ sku: Schema.String, quantity: Schema.Int })),
    amount: Schema.Int,
  },
  idempotencyKey: ({ id }) => id,
  success: Schema.Literal("completed"),
});

/** How often each step ran. */
const ran = new Map<string, number>();

const execute = Effect.fnUntraced(function* ({ id }: { readonly id: string }) {
  for (const name of STEPS) {
    yield* Activity.make({
      name,
      success: Answer,
      execute: Effect.sync(() => {
        ran.set(name, (ran.get(name) ?? 0) + 1);
        return { id, at: Date.now() };
      }),
    });
  }
  return "completed" as const;
});

const engine = Checkout.toLayer(execute).pipe(Layer.provideMerge(WorkflowEngine.layerMemory));

Serve.serve({
  steps: ({ millis = 0, inFlight = 1 }) => {
    const program = Effect.gen(function* () {
      ran.clear();
      let [sagas, wrong] = [0, 0];
      const start = performance.now();
      const lane = Effect.gen(function* () {
        while (performance.now() - start < millis) {
          if ((yield* Checkout.execute(order(`order-${sagas++}`))) !== "completed") wrong += 1;
        }
      });
      yield* Effect.forEach(Array.from({ length: inFlight }), () => lane, { concurrency: "unbounded", discard: true });
      const seconds = (performance.now() - start) / 1_000;
      for (const name of STEPS) if (ran.get(name) !== sagas) wrong += 1;
      return { done: sagas * STEPS.length, seconds, wrong };
    });
    // An engine of its own a round: it forgets nothing.
    return Effect.runPromise(Effect.scoped(Effect.provide(program, engine)));
  },
});
