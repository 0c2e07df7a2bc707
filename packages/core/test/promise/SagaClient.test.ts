import { afterEach, describe, expect, it, vi } from "vitest";
import { accept, event, handler, memory, type Parse, reject, SagaClient, SagaError } from "@org/saga-core/promise";
import { M, type Ref, ref, stepsOf, Trip } from "./Trip.ts";

const WAIT = { timeout: 10_000, interval: 5 };

interface Counter {
  readonly value: number;
}

const counterState: Parse<Counter> = (json) => {
  if (typeof json === "object" && json !== null && "value" in json && typeof json.value === "number") return { value: json.value };
  throw new Error("no counter");
};
const reason: Parse<"tooMuch"> = (json) => {
  if (json === "tooMuch") return json;
  throw new Error("no reason");
};

const Counted = event("counter.counted.v1", ref, { topic: "counter", key: ({ id }) => id });

const counter = {
  name: "counter",
  initial: { value: 0 },
  decide: (state: Counter, add: number) => {
    if (add < 0) throw new Error("a bug");
    return state.value + add > 10 ? reject("tooMuch") : accept(add);
  },
  evolve: (state: Counter, add: number) => ({ value: state.value + add }),
  state: counterState,
  rejection: reason,
  announce: (_: ReadonlyArray<number>, { value }: Counter) => [Counted.draft({ id: String(value) })],
};

/** As a program without types has it. */
const noText: string = JSON.parse("7");

const open: Array<SagaClient.SagaClient<null>> = [];

const connect = async () => {
  const client = await SagaClient.connect({ database: memory(), messages: [...Object.values(M), Counted] });
  open.push(client);
  return client;
};

afterEach(async () => {
  for (const client of open.splice(0)) await client.close();
});

describe("a decider behind promises", () => {
  it("answers with the state after a command, or with why it was refused", async () => {
    const counters = await (await connect()).decider(counter);
    expect(await counters.submit("a", 4)).toEqual({ _tag: "Accepted", state: { value: 4 }, repeated: false });
    expect(await counters.submit("a", 7)).toEqual({ _tag: "Rejected", rejection: "tooMuch", repeated: false });
    expect(await counters.find("a")).toEqual({ value: 4 });
    expect(await counters.find("b")).toBeNull();
  });

  it("repeats its first answer, accepted or refused, under the same idempotency key, and knows another command", async () => {
    const counters = await (await connect()).decider(counter);
    for (const repeated of [false, true]) {
      expect(await counters.submit("a", 4, { idempotencyKey: "k" })).toEqual({ _tag: "Accepted", state: { value: 4 }, repeated });
      expect(await counters.submit("a", 9, { idempotencyKey: "l" })).toEqual({ _tag: "Rejected", rejection: "tooMuch", repeated });
    }
    expect(await counters.submit("a", 5, { idempotencyKey: "k" })).toEqual({ _tag: "KeyReused" });
    expect(await counters.submit("a", 5, { idempotencyKey: "k", caller: "somebody else" })).toMatchObject({ state: { value: 9 } });
  });

  it("rejects with a SagaError when a decision has a bug, and goes on", async () => {
    const counters = await (await connect()).decider(counter);
    const failure: unknown = await counters.submit("a", -1).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(SagaError);
    expect(failure).toMatchObject({ code: "Refused", isRetryable: false });
    expect(await counters.submit("a", 1)).toMatchObject({ _tag: "Accepted" });
  });
});

describe("messages behind promises", () => {
  it("publishes what a decision announces and what a transaction sends, to handlers whose own messages follow", async () => {
    const client = await connect();
    const seen: Array<string> = [];
    await client.on({
      group: "counted",
      handlers: [
        handler(Counted, async ({ body }, tx) => {
          seen.push(body.id);
          tx.send(M.Approved, { id: body.id });
        }),
      ],
    });
    await client.on({ group: "approved", handlers: [handler(M.Approved, async ({ body }) => void seen.push(`approved ${body.id}`))] });
    await (await client.decider(counter)).submit("a", 4);
    const answer = await client.transaction(async (tx) => {
      tx.send(Counted, { id: "sent" });
      return tx.now;
    });
    expect(answer).toBeGreaterThan(0);
    await vi.waitFor(() => expect(seen.toSorted()).toEqual(["4", "approved 4", "approved sent", "sent"]), WAIT);
  });

  it("sends nothing of a transaction that throws, and rejects with what it threw", async () => {
    const client = await connect();
    const seen: Array<string> = [];
    await client.on({ group: "counted", handlers: [handler(Counted, async ({ body }) => void seen.push(body.id))] });
    const bug = new Error("mine");
    await expect(
      client.transaction(async (tx) => {
        tx.send(Counted, { id: "lost" });
        throw bug;
      }),
    ).rejects.toBe(bug);
    await client.transaction(async (tx) => tx.send(Counted, { id: "kept" }));
    await vi.waitFor(() => expect(seen).toEqual(["kept"]), WAIT);
  });

  it("refuses a second consumer of a group: it would take the messages of the first", async () => {
    const client = await connect();
    const handlers = [handler(Counted, async () => undefined)];
    await client.on({ group: "counted", handlers });
    await expect(client.on({ group: "counted", handlers })).rejects.toMatchObject({ code: "Misuse" });
  });

  it("refuses a message that is sent after its transaction has ended", async () => {
    const client = await connect();
    const send = await client.transaction(async (tx) => tx.send);
    expect(() => send(Counted, { id: "late" })).toThrow(SagaError);
  });

  it("tries a message again whose handler threw, and commits its own messages once", async () => {
    const client = await connect();
    let attempts = 0;
    const approved: Array<string> = [];
    await client.on({
      group: "counted",
      handlers: [
        handler(Counted, async ({ body }, tx) => {
          tx.send(M.Approved, body);
          if (++attempts === 1) throw new Error("no connection");
        }),
      ],
    });
    await client.on({ group: "approved", handlers: [handler(M.Approved, async ({ body }) => void approved.push(body.id))] });
    await client.transaction(async (tx) => tx.send(Counted, { id: "a" }));
    await vi.waitFor(() => expect(approved).toEqual(["a"]), WAIT);
    expect(attempts).toBe(2);
  });
});

describe("a saga behind promises", () => {
  const started = async (calls: Array<string>, pay?: (id: string) => "paid" | "declined") => {
    const client = await connect();
    const trips = await client.saga({ definition: Trip, steps: stepsOf(calls, pay), messages: [M.Approved] });
    const approve = (body: Ref) => client.transaction(async (tx) => tx.send(M.Approved, body));
    return { client, trips, approve };
  };

  it("stands when start answers, waits for a signal, and runs to its end", async () => {
    const calls: Array<string> = [];
    const { trips, approve } = await started(calls);
    expect(await trips.start("t", { id: "t" })).toBe("running");
    expect(await trips.find("t")).toMatchObject({ status: "running", data: { id: "t" } });
    await approve({ id: "t" });
    await vi.waitFor(async () => expect((await trips.find("t"))?.status).toBe("completed"), WAIT);
    expect(calls).toEqual(["t:hold:1", "t:pay:1"]);
    expect(await trips.find("t")).toMatchObject({ steps: { hold: "done", approval: "done", pay: "done" }, failure: null, audit: [] });
    expect(await trips.find("nobody")).toBeNull();
  });

  it("undoes what was done when it is canceled, or when the pivot is refused", async () => {
    const calls: Array<string> = [];
    const { trips, approve } = await started(calls, () => "declined");
    expect(await trips.run("t", { id: "t" })).toBe("running");
    expect(await trips.cancel("t", "user")).toBe("compensating");
    await vi.waitFor(async () => expect((await trips.find("t"))?.status).toBe("compensated"), WAIT);
    expect(await trips.cancel("nobody", "user")).toBeNull();
    await trips.run("u", { id: "u" });
    await approve({ id: "u" });
    await vi.waitFor(async () => expect((await trips.find("u"))?.failure).toEqual({ step: "pay", reason: "declined" }), WAIT);
    await vi.waitFor(() => expect(calls).toEqual(["t:hold:1", "undo t:hold:1/undo", "u:hold:1", "u:pay:1", "undo u:hold:1/undo"]), WAIT);
  });

  it("is started by a message, once, however often it comes", async () => {
    const calls: Array<string> = [];
    const client = await connect();
    const trips = await client.saga({
      definition: Trip,
      steps: stepsOf(calls),
      startsOn: { message: Counted, data: ({ id }) => ({ id }) },
      messages: [M.Approved],
    });
    for (const id of ["t", "u", "t"]) await client.transaction(async (tx) => tx.send(Counted, { id }));
    await vi.waitFor(async () => expect((await trips.find("u"))?.steps).toMatchObject({ hold: "done" }), WAIT);
    expect(calls.toSorted()).toEqual(["t:hold:1", "u:hold:1"]);
  });

  it.each([
    ["empty", ""],
    ["longer than a message's key", "x".repeat(256)],
    ["half a surrogate pair", "t\ud800"],
    ["with a NUL", "t\u0000"],
    ["no text at all", noText],
  ])("is not begun under an id that could not be found again: %s", async (_, id) => {
    const calls: Array<string> = [];
    const { trips } = await started(calls);
    const why = "saga trip: the id of an instance is a text of 1 to 255 characters, well-formed Unicode without NUL";
    await expect(trips.run(id, { id: "t" })).rejects.toMatchObject({ code: "Misuse", message: why });
    await expect(trips.start(id, { id: "t" })).rejects.toMatchObject({ code: "Misuse", message: why });
    expect(calls).toEqual([]);
    expect(await trips.run("😀".repeat(127), { id: "t" })).toBe("running");
  });

  it("is not begun by a message whose key can be no id: it is put aside, and those behind it go on", async () => {
    const calls: Array<string> = [];
    const client = await connect();
    const startsOn = { message: Counted, data: ({ id }: Ref) => ({ id }) };
    const trips = await client.saga({ definition: Trip, steps: stepsOf(calls), startsOn, messages: [M.Approved] });
    const long = "x".repeat(256);
    for (const id of [long, "t"]) await client.transaction(async (tx) => tx.send(Counted, { id }));
    await vi.waitFor(async () => expect((await trips.find("t"))?.steps).toMatchObject({ hold: "done" }), WAIT);
    expect(calls).toEqual(["t:hold:1"]);
    expect(await trips.find(long)).toBeNull();
  });

  it("has steps elsewhere: their commands go by the outbox, their replies come by the bus", async () => {
    const calls: Array<string> = [];
    const client = await connect();
    const here = stepsOf(calls).slice(0, 2);
    const trips = await client.saga({ definition: Trip, steps: here, messages: [M.Approved, M.Paid, M.Declined] });
    await client.on({ group: "payments", handlers: [handler(M.Pay, async ({ body }, tx) => tx.reply(M.Paid, body))] });
    await trips.run("t", { id: "t" });
    await client.transaction(async (tx) => tx.send(M.Approved, { id: "t" }));
    await vi.waitFor(async () => expect((await trips.find("t"))?.status).toBe("completed"), WAIT);
    expect(calls).toEqual(["t:hold:1"]);
  });

  it("is started once, however often it is asked", async () => {
    const calls: Array<string> = [];
    const { trips } = await started(calls);
    await Promise.all([trips.run("t", { id: "t" }), trips.run("t", { id: "t" }), trips.run("t", { id: "t" })]);
    expect(calls).toEqual(["t:hold:1"]);
  });
});

describe("close", () => {
  it("waits for what is in flight, refuses what comes later, and may be called twice", async () => {
    const client = await connect();
    const counters = await client.decider(counter);
    const gate = Promise.withResolvers<void>();
    const slow = client.transaction(async () => {
      await gate.promise;
      return "done";
    });
    const closing = client.close();
    const refused: unknown = await counters.submit("a", 1).catch((error: unknown) => error);
    expect(refused).toMatchObject({ name: "SagaError", code: "Closed" });
    gate.resolve();
    expect(await slow).toBe("done");
    await Promise.all([closing, client.close()]);
  });
});
