/** What a process that follows an instance reads of it: nothing, as long as it was the last to write it. */
import { Effect, Schema } from "effect";
import { DirectSaga, Message, Saga, SagaStore, StoreError } from "@org/saga-core";
import { describe, expect, it } from "vitest";
import { simulate } from "./Harness.ts";

const Ref = Schema.Struct({ id: Schema.String });
const topic = { topic: "door.steps", key: ({ id }: { readonly id: string }) => id };
const Open = Message.command("door.open.v1", Ref, topic);
const Opened = Message.event("door.opened.v1", Ref, topic);
const Close = Message.command("door.close.v1", Ref, topic);
const Closed = Message.event("door.closed.v1", Ref, topic);

const definition = Saga.make("door", { version: 1, data: Ref }).pipe(
  Saga.pivot("open", { send: Open, with: (ref) => ref, done: Opened, undo: { none: "it is the first" }, timeout: 60_000 }),
  Saga.retriable("close", { send: Close, with: (ref) => ref, done: Closed, timeout: 60_000 }),
);

const DOOR = { id: "d" };
/** How long each step takes, in milliseconds. */
const STEP_MS = 1_000;

/** The saga, how often an instance was read, and whether its next write is lost. */
const make = Effect.gen(function* () {
  const store = yield* SagaStore;
  const seen = { loads: 0, losesNext: false };
  const counting: SagaStore["Service"] = {
    ...store,
    load: (saga, ids) =>
      Effect.suspend(() => {
        seen.loads += 1;
        return store.load(saga, ids);
      }),
    save: (records) =>
      Effect.suspend(() => {
        if (!seen.losesNext) return store.save(records);
        seen.losesNext = false;
        return Effect.fail(new StoreError({ reason: "Misuse", operation: "SagaStore.save", message: "lost" }));
      }),
  };
  const steps = [
    DirectSaga.step(Open, (ref) => Effect.delay(Effect.succeed(DirectSaga.outcome(Opened, ref)), STEP_MS)),
    DirectSaga.step(Close, (ref) => Effect.delay(Effect.succeed(DirectSaga.outcome(Closed, ref)), STEP_MS)),
  ];
  const saga = yield* Effect.provideService(DirectSaga.make({ definition, steps }), SagaStore, counting);
  return { saga, seen };
});

describe("a run", () => {
  it("reads nothing, also when it is run again after a failure", () => {
    simulate(() =>
      Effect.gen(function* () {
        const { saga, seen } = yield* make;
        const run = saga.run("d", DOOR);
        seen.losesNext = true;
        expect((yield* Effect.flip(run))._tag).toBe("StoreError");
        expect(yield* run).toBe("completed");
        expect(seen.loads).toBe(0);
      }),
    );
  });

  it("reads once more when somebody starts the same instance, and does not see it through: then it is the last to write again", () => {
    simulate(() =>
      Effect.gen(function* () {
        const { saga, seen } = yield* make;
        const running = yield* Effect.forkChild(saga.run("d", DOOR));
        yield* Effect.sleep(STEP_MS / 2);
        expect((yield* saga.start("d", DOOR)).status).toBe("running");
        const before = seen.loads;
        yield* Effect.sleep(STEP_MS * 2);
        expect(running.pollUnsafe()).toBeDefined();
        expect(seen.loads).toBe(before + 1);
      }),
    );
  });
});
