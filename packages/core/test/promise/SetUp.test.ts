import { Effect, Layer } from "effect";
import { afterEach, describe, expect, it } from "vitest";
import { type Database, event, handler, memory, type Parse, Saga, SagaClient, SagaVersions, shape, step } from "@org/saga-core/promise";
import * as MemoryDatabase from "../../src/memory/MemoryDatabase.ts";
import * as MemoryStores from "../../src/memory/MemoryStores.ts";
import { M, ref, type Ref, stepsOf, Trip } from "./Trip.ts";

const Strange = event("strange.happened.v1", ref, { topic: "strange", key: ({ id }) => id });

const open: Array<SagaClient.SagaClient<null>> = [];

const connect = async (database = memory(), messages: SagaClient.ConnectOptions<null, never>["messages"] = Object.values(M)) => {
  const client = await SagaClient.connect({ database, messages });
  open.push(client);
  return client;
};

afterEach(async () => {
  for (const client of open.splice(0)) await client.close();
});

describe("a saga that could not run to its end is refused when it is set up", () => {
  it("with a command that no step performs and whose topic nobody made", async () => {
    const client = await connect(memory(), [M.Approved, M.Drop]);
    const [hold] = stepsOf([]);
    await expect(client.saga({ definition: Trip, steps: hold === undefined ? [] : [hold], messages: [M.Approved] })).rejects.toMatchObject({
      code: "Misuse",
      message: expect.stringContaining("no step performs trip.pay.v1"),
    });
  });

  it("with a step elsewhere whose replies it does not hear", async () => {
    const client = await connect();
    await expect(client.saga({ definition: Trip, steps: stepsOf([]).slice(0, 2), messages: [M.Approved, M.Paid] })).rejects.toMatchObject({
      code: "Misuse",
      message: expect.stringContaining("hears trip.declined.v1"),
    });
  });

  it("with a signal that it does not hear, also one that is waited for after a failure", async () => {
    const client = await connect();
    const refused = { code: "Misuse", message: expect.stringContaining("waits for trip.approved.v1, and would never hear it") };
    await expect(client.saga({ definition: Trip, steps: stepsOf([]) })).rejects.toMatchObject(refused);
    const retried = Saga.make("retried", { version: 1, data: shape(ref) }).pipe(
      Saga.pivot("pay", {
        send: M.Pay,
        with: ({ id }) => ({ id }),
        done: M.Paid,
        failed: [Saga.failedBy(M.Declined, () => "declined")],
        undo: { none: "nothing follows it" },
        retryOnSignal: { signal: M.Approved, onSignal: (data) => data, within: "1 hour" },
      }),
    );
    const pay = stepsOf([]).slice(2);
    await expect(client.saga({ definition: retried, steps: pay })).rejects.toMatchObject(refused);
    await client.saga({ definition: retried, steps: pay, messages: [M.Approved] });
  });

  it("with messages that the client does not know, or two steps of one command", async () => {
    const client = await connect();
    const steps = stepsOf([]);
    const refused = { code: "Misuse", message: expect.stringContaining("strange.happened.v1") };
    await expect(client.saga({ definition: Trip, steps, messages: [Strange] })).rejects.toMatchObject(refused);
    await expect(client.saga({ definition: Trip, steps, startsOn: { message: Strange, data: (body) => body } })).rejects.toMatchObject(
      refused,
    );
    await expect(client.saga({ definition: Trip, steps: [...steps, ...steps] })).rejects.toMatchObject({ code: "Misuse" });
  });

  it("and may be set up afterwards: its name is free", async () => {
    const client = await connect(memory(), [M.Approved]);
    await expect(client.saga({ definition: Trip, steps: [] })).rejects.toMatchObject({ code: "Misuse" });
    const trips = await client.saga({ definition: Trip, steps: stepsOf([]), messages: [M.Approved] });
    expect(await trips.run("t", { id: "t" })).toBe("running");
  });
});

describe("a person's word about a saga", () => {
  it("is refused without who and why, also from a program without types, and about a step that there is not", async () => {
    const client = await connect();
    const trips = await client.saga({ definition: Trip, steps: stepsOf([]), messages: [M.Approved] });
    await trips.run("t", { id: "t" });
    const words: ReadonlyArray<readonly [problem: string, say: () => Promise<unknown>]> = [
      ["who says so", () => trips.cancel("t", "")],
      // @ts-expect-error nobody
      ["who says so", () => trips.cancel("t")],
      // @ts-expect-error nobody
      ["who says so", () => trips.resume("t")],
      // @ts-expect-error no reason
      ["why? note", () => trips.resume("t", { by: "ada" })],
      ['"seat" is no step: name one of hold, approval, pay', () => trips.resolve("t", "seat", { by: "ada", note: "by hand" })],
    ];
    for (const [problem, say] of words) {
      await expect(say()).rejects.toMatchObject({ code: "Misuse", message: expect.stringContaining(problem) });
    }
    expect(await trips.find("t")).toMatchObject({ status: "running", audit: [] });
  });
});

describe("handlers that would hear nothing are refused when they are set up", () => {
  it("without a handler, with two of one type, or of a type that the client does not know", async () => {
    const client = await connect();
    const paid = handler(M.Paid, async () => undefined);
    const strange = handler(Strange, async () => undefined);
    for (const handlers of [[], [paid, paid], [strange]]) {
      await expect(client.on({ group: "paid", handlers })).rejects.toMatchObject({ code: "Misuse" });
    }
    await client.on({ group: "paid", handlers: [paid] });
  });
});

describe("versions of a saga", () => {
  interface Seat extends Ref {
    readonly row: number;
  }
  const seat: Parse<Seat> = (json) => {
    if (typeof json === "object" && json !== null && "row" in json && typeof json.row === "number") return { ...ref(json), row: json.row };
    throw new Error("not a seat");
  };
  const pay = { send: M.Pay, with: ({ id }: Ref) => ({ id }), done: M.Paid, undo: { none: "nothing follows it" } };
  const [first, second, third] = [
    Saga.make("seat", { version: 1, data: shape(ref) }).pipe(Saga.pivot("pay", pay)),
    Saga.make("seat", { version: 2, data: shape((json) => ({ ...ref(json), isSecond: true })) }).pipe(Saga.pivot("pay", pay)),
    Saga.make("seat", { version: 3, data: shape(seat) }).pipe(Saga.pivot("pay", pay)),
  ];
  /** A database that outlives its clients. */
  const lasting = (): Database<null> => {
    const layer = Layer.provide(MemoryStores.layer, MemoryDatabase.layerOf(Effect.runSync(MemoryDatabase.make)));
    return { layer, sql: Effect.succeed(null) };
  };
  const silent = step(M.Pay, () => Promise.reject(new Error("no answer")));

  it("go on beside each other: one is kept, another one migrates, and each is read by its own", async () => {
    const database = lasting();
    const before = await connect(database);
    await (await before.saga({ definition: first, steps: [silent] })).run("of 1", { id: "a" });
    await before.close();
    const between = await connect(database);
    await (await between.saga({ definition: second, steps: [silent] })).run("of 2", { id: "a", isSecond: true });
    await between.close();
    const client = await connect(database);
    const trips = await client.saga({
      definition: third,
      older: [SagaVersions.migrate(second, third, { data: ({ id }) => ({ id, row: 1 }) }), SagaVersions.keep(first)],
      steps: [silent],
    });
    await trips.run("of 3", { id: "a", row: 7 });
    expect(await trips.find("of 1")).toMatchObject({ version: 1, data: { id: "a" } });
    expect(await trips.find("of 2")).toMatchObject({ version: 3, data: { id: "a", row: 1 } });
    expect(await trips.find("of 3")).toMatchObject({ version: 3, data: { id: "a", row: 7 } });
    expect(await trips.cancel("of 1", "user")).toBe("running");
  });

  it("stay where a migration says so, and are left alone by a client that does not know theirs: asked later, another one may", async () => {
    const database = lasting();
    const before = await connect(database);
    await (await before.saga({ definition: first, steps: [silent] })).run("a", { id: "a" });
    await before.close();
    const next = await connect(database);
    const older = [SagaVersions.migrate(first, third, { data: () => SagaVersions.stays("it has no row") })] as const;
    expect(await (await next.saga({ definition: third, older, steps: [silent] })).find("a")).toMatchObject({ version: 1 });
    await next.close();
    const trips = await (await connect(database)).saga({ definition: third, steps: [silent] });
    const leftAlone = { code: "Unavailable", isRetryable: true, message: expect.stringContaining("version 1") };
    await expect(trips.find("a")).rejects.toMatchObject(leftAlone);
    await expect(trips.cancel("a", "user")).rejects.toMatchObject(leftAlone);
  });
});
