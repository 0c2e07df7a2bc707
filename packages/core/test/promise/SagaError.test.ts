import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { accept, event, handler, memory, reject, SagaClient, SagaError } from "@org/saga-core/promise";
import { M, ref } from "./Trip.ts";

const WAIT = { timeout: 10_000, interval: 5 };
const SECRET = "4111 1111 1111 1111";

interface Amount {
  readonly id: string;
  readonly cents: bigint;
}

const Weighed = event("amount.weighed.v1", (json): Amount => ({ ...ref(json), cents: 1n }), { topic: "amount", key: ({ id }) => id });

class CardError extends Error {
  override readonly name = "CardError";
}

type Command = { readonly add: number; readonly by: string } | { readonly big: bigint };

const total = {
  name: "total",
  initial: 0,
  decide: (state: number, command: Command) => {
    if ("big" in command) return reject("big");
    if (command.add < 0) throw new CardError(SECRET);
    return accept(state + command.add);
  },
  evolve: (_: number, after: number) => after,
  state: Number,
  rejection: String,
};

let client: SagaClient.SagaClient<null>;

beforeEach(async () => {
  client = await SagaClient.connect({ database: memory(), messages: [...Object.values(M), Weighed] });
});
afterEach(() => client.close());

const failureOf = (promise: Promise<unknown>): Promise<SagaError> =>
  promise.then(
    () => Promise.reject(new Error("it did not reject")),
    (error: unknown) => (error instanceof SagaError ? error : Promise.reject(new Error("no SagaError", { cause: error }))),
  );

describe("what a user's function throws", () => {
  it("is the cause of the error, whose own text names it and holds nothing of it", async () => {
    const totals = await client.decider(total);
    const failure = await failureOf(totals.submit("a", { add: -1, by: "x" }));
    expect(failure.code).toBe("Refused");
    expect(failure.message).toContain("CardError");
    expect(failure.message).not.toContain(SECRET);
    expect(failure.cause).toBeInstanceOf(CardError);
    expect(await totals.submit("a", { add: 1, by: "x" })).toMatchObject({ _tag: "Accepted", state: 1 });
  });

  it("in a handler makes a dead letter of the message, not of its neighbours, and nothing it sent is sent", async () => {
    const handled: Array<string> = [];
    const lines: Array<unknown> = [];
    const log = vi.spyOn(console, "log").mockImplementation((...line) => void lines.push(...line));
    await client.on({
      group: "held",
      attempts: 1,
      handlers: [
        handler(M.Held, async ({ body }, tx) => {
          tx.send(M.Paid, body);
          if (body.id === "bad") throw new CardError(SECRET);
        }),
      ],
    });
    await client.on({ group: "paid", handlers: [handler(M.Paid, async ({ body }) => void handled.push(body.id))] });
    for (const id of ["bad", "good"]) await client.transaction(async (tx) => tx.send(M.Held, { id }));
    await vi.waitFor(() => expect(handled).toEqual(["good"]), WAIT);
    await vi.waitFor(
      () => expect(lines.join("\n")).toMatch(/held: the handler of trip.held.v1 threw at message .*\(CardError at .*SagaError\.test\.ts/),
      WAIT,
    );
    expect(lines.join("\n")).not.toContain(SECRET);
    log.mockRestore();
  });
});

describe("a command", () => {
  it("that is no JSON is refused by the promise, not thrown at its caller", async () => {
    const totals = await client.decider(total);
    expect(await failureOf(totals.submit("a", { big: 1n }))).toMatchObject({ code: "Misuse" });
  });

  it("is the same under its idempotency key, whatever the order of its properties", async () => {
    const totals = await client.decider(total);
    await totals.submit("a", { add: 1, by: "x" }, { idempotencyKey: "k" });
    expect(await totals.submit("a", { by: "x", add: 1 }, { idempotencyKey: "k" })).toMatchObject({ state: 1, repeated: true });
    expect(await totals.submit("a", { by: "y", add: 1 }, { idempotencyKey: "k" })).toEqual({ _tag: "KeyReused" });
  });
});

describe("a transaction", () => {
  it("that waits for another call of its client ends, and says why", async () => {
    const impatient = await SagaClient.connect({ database: memory(), messages: [], transactionWithin: "20 millis" });
    const failure = await failureOf(impatient.transaction(() => impatient.transaction(async () => undefined)));
    expect(failure).toMatchObject({ code: "Misuse", message: expect.stringContaining("use tx and nothing else of the client") });
    await impatient.close();
  });
});

describe("a message that cannot be written", () => {
  it("names its type, for a body that is no JSON and for one without a key", async () => {
    const big = await failureOf(client.transaction(async (tx) => tx.send(Weighed, { id: "a", cents: 1n })));
    const keyless = await failureOf(client.transaction(async (tx) => tx.send(M.Held, { id: "" })));
    for (const [failure, type] of [
      [big, "amount.weighed.v1"],
      [keyless, "trip.held.v1"],
    ] as const) {
      expect(failure).toMatchObject({ code: "Misuse", message: expect.stringContaining(type) });
    }
  });
});
