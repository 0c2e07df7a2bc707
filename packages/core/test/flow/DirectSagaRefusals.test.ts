/** Outcomes that the database, or a bug, refuses: nobody's saga goes on, so it is told, and the function is called ever more rarely. */
import { Effect, Logger, References, Schema } from "effect";
import { Batch, DirectSaga, Message, Saga, SagaStore, StoreError, TimerPump } from "@org/saga-core";
import { describe, expect, it } from "vitest";
import * as DirectSagaRefusals from "../../src/flow/DirectSagaRefusals.ts";
import { simulate } from "./Harness.ts";

const TIMEOUT_MS = 2_000;

const Note = Schema.Struct({ id: Schema.String, text: Schema.String });
const topic = { topic: "note.steps", key: ({ id }: { readonly id: string }) => id };
const Write = Message.command("note.write.v1", Note, topic);
const Written = Message.event("note.written.v1", Note, topic);
const Send = Message.command("note.send.v1", Note, topic);
const Sent = Message.event("note.sent.v1", Note, topic);

const BUG = "a bug of the definition's own, which quotes";

const definition = Saga.make("note", { version: 1, data: Note }).pipe(
  Saga.pivot("write", {
    send: Write,
    with: (data) => data,
    done: Written,
    onDone: (data, { text }) => {
      if (text === "bug") throw new TypeError(`${BUG} ${text}`);
      return { ...data, text };
    },
    undo: { none: "it is the first" },
    timeout: TIMEOUT_MS,
  }),
  Saga.retriable("send", { send: Send, with: (data) => data, done: Sent, timeout: TIMEOUT_MS }),
);

/** As a database without that character. */
const refusing = (store: SagaStore["Service"]): SagaStore["Service"] => ({
  ...store,
  save: (rows) =>
    rows.some(({ state }) => JSON.stringify(state).includes("secret"))
      ? Effect.fail(new StoreError({ reason: "Refused", operation: "SagaStore.save", message: "SQLSTATE 22P05 untranslatable_character" }))
      : store.save(rows),
});

/** Runs the instance "n", then its timers for a while: when `write` was called, and what was logged. */
const run = (millis: number, text: (call: number) => string) => {
  const calledAt: Array<number> = [];
  const logged: Array<string> = [];
  const logger = Logger.make(({ message }) => void logged.push(String(message)));
  let passed = 0;
  const program = Effect.gen(function* () {
    const saga = yield* DirectSaga.make({
      definition,
      steps: [
        DirectSaga.step(Write, ({ id }) =>
          Effect.sync(() => {
            calledAt.push(passed);
            return DirectSaga.outcome(Written, { id, text: text(calledAt.length) });
          }),
        ),
        DirectSaga.step(Send, (note) => Effect.succeed(DirectSaga.outcome(Sent, note))),
      ],
    });
    const first = yield* Effect.flip(saga.run("n", { id: "n", text: "" }));
    for (; passed < millis;) {
      passed += TIMEOUT_MS;
      yield* Effect.sleep(TIMEOUT_MS);
      yield* TimerPump.pumpOnce("note", saga.onTimers);
      yield* Effect.sleep(1);
    }
    return { first, status: (yield* (yield* SagaStore).find("note", ["n"])).get("n")?.status };
  });
  const stores = Effect.flatMap(SagaStore, (store) => Effect.provideService(program, SagaStore, refusing(store)));
  const logs = Effect.provide(Effect.provideService(stores, References.MinimumLogLevel, "Warn"), Logger.layer([logger]));
  return { ...simulate(() => logs), calledAt, logged };
};

const told = (said: string, pause: string) =>
  `saga "note", instance "n", step "write": an outcome of "note.write.v1" could not be written: ${said}. The same is refused again: what the function answers, or what the definition makes of it, has to change. It is called again in about ${pause}`;

describe("an outcome that the database refuses for good", () => {
  it("is told by saga, instance and step, without what is in it, and its function is called after ever longer pauses", () => {
    const { first, status, calledAt, logged } = run(1_300_000, () => "secret");
    expect([first._tag, status]).toEqual(["Poisoned", "running"]);
    const pauses = calledAt.slice(1).map((at, index) => at - (calledAt[index] ?? 0));
    const doubled = [2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 128_000, 256_000];
    expect(pauses.slice(0, doubled.length)).toEqual(doubled);
    expect(new Set(pauses.slice(doubled.length))).toEqual(new Set([DirectSaga.REFUSED_PAUSE_MAX_MS]));
    const said = "SQLSTATE 22P05 untranslatable_character";
    expect(logged.slice(0, 2)).toEqual([told(said, "2s"), told(said, "4s")]);
    expect(logged).toHaveLength(calledAt.length);
    expect(logged.join("\n")).not.toContain("secret");
  });

  it("is forgotten once another outcome of that call is written", () => {
    const { status, calledAt, logged } = run(TIMEOUT_MS * 4, (call) => (call < 3 ? "secret" : "fine"));
    expect(status).toBe("completed");
    expect(calledAt).toEqual([0, TIMEOUT_MS, TIMEOUT_MS * 3]);
    expect(logged).toHaveLength(2);
  });

  it("is told by the name and the place of the defect alone, where a function of the definition threw", () => {
    const { logged } = run(TIMEOUT_MS, () => "bug");
    const [said = ""] = /a defect \(TypeError at [^\n]*DirectSagaRefusals\.test\.ts:\d+:\d+\)+/.exec(logged[0] ?? "") ?? [];
    expect(logged).toEqual([told(said, "2s"), told(said, "4s")]);
  });
});

describe("what is remembered of refused outcomes", () => {
  const ask = (key: string) => ({
    draft: Write.draft({ id: key, text: "" }),
    key,
    timeoutMillis: 1_000,
    step: "write",
    isUndo: false,
    answers: [],
  });
  const poisoned = new Batch.Poisoned({ mailbox: "note", detail: "it quotes" });

  it("is not what is nobody's fault: the next call is made at once", () => {
    const refusals = DirectSagaRefusals.make();
    const lost = new StoreError({ reason: "Unavailable", operation: "UnitOfWork.commit", message: "connection: lost" });
    for (let times = 0; times < 3; times += 1) {
      expect(refusals.unwritten("note", "n", ask("n"), lost)).toMatch(/"n", step "write": .*: connection: lost. Its timer asks again$/);
      expect(refusals.isCalled(ask("n"))).toBe(true);
    }
  });

  it("is bounded: the oldest is forgotten, and called again sooner", () => {
    const refusals = DirectSagaRefusals.make();
    const refuseTwice = (key: string) => {
      for (let times = 0; times < 2; times += 1) expect(refusals.unwritten("note", key, ask(key), poisoned)).toContain(": a defect. ");
    };
    refuseTwice("first");
    for (let other = 0; other < 10_000; other += 1) refusals.unwritten("note", "n", ask(`other ${other}`), poisoned);
    refuseTwice("last");
    expect([refusals.isCalled(ask("first")), refusals.isCalled(ask("last"))]).toEqual([true, false]);
  });
});
