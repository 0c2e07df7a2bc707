/** Our saga of `bench saga` and `bench core`: four steps, which do nothing but count. */
import { DirectSaga, Message, Saga } from "@org/saga-core";
import { Effect, Result, Schema } from "effect";
import { STEPS } from "./Workload.ts";

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

const counts = new Map<string, number>();

/** How often each step ran. */
export const ran = (): ReadonlyArray<number> => STEPS.map((name) => counts.get(name) ?? 0);

/** Steps that did not run once for each of `sagas`. */
export const missing = (before: ReadonlyArray<number>, sagas: number): number =>
  ran().filter((count, index) => count - (before[index] ?? 0) !== sagas).length;

const partOf = (name: (typeof STEPS)[number]) => {
  const command = Message.command(`bench.${name}.v1`, Ref, topic);
  const done = Message.event(`bench.${name}-done.v1`, Answer, topic);
  const call = ({ id }: { readonly id: string }): DirectSaga.Outcome => {
    counts.set(name, (counts.get(name) ?? 0) + 1);
    return DirectSaga.outcome(done, { id, at: Date.now() });
  };
  return {
    type: command.type,
    options: { send: command, with: ({ id }: Data) => ({ id }), done, undo: { none: "nothing fails here" }, timeout: TIMEOUT_MS },
    step: DirectSaga.step(command, (body) => Effect.sync(() => call(body))),
    /** The command was encoded by its schema, and the reply is read by its: once each, as a result of the peer's is. */
    perform: (id: string): DirectSaga.Outcome => {
      const { type, topic: on, body } = call({ id });
      return { type, topic: on, body: Result.getOrThrow(done.decode(body)) };
    },
  };
};

const parts = { reserve: partOf("reserve"), authorize: partOf("authorize"), capture: partOf("capture"), ship: partOf("ship") };

export const definition = Saga.make("checkout", { version: 1, data: Data }).pipe(
  Saga.step("reserve", parts.reserve.options),
  Saga.step("authorize", parts.authorize.options),
  Saga.pivot("capture", parts.capture.options),
  Saga.retriable("ship", parts.ship.options),
);

export const direct = { definition, steps: STEPS.map((name) => parts[name].step) };

const performers = new Map(STEPS.map((name) => [parts[name].type, parts[name].perform]));

export const perform = (type: string, id: string): DirectSaga.Outcome => {
  const found = performers.get(type);
  if (found === undefined) throw new Error(`nobody performs ${type}`);
  return found(id);
};
