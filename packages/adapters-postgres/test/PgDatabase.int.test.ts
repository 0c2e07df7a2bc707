/** `SagaClient` on a PostgreSQL server: what one client leaves, the next one ends; own statements and messages, together or not at all. */
import { command, event, handler, outcome, type Parse, Saga, SagaClient, SagaError, shape, step } from "@org/saga-core/promise";
import { realServer } from "@tools/servers/testing";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import * as PgDatabase from "../src/PgDatabase.ts";
import * as Database from "./Database.ts";

const server = realServer("postgres");
const PATIENCE = { timeout: 40_000, interval: 50 };

interface Ref {
  readonly id: string;
}

const ref: Parse<Ref> = (json) => {
  if (typeof json === "object" && json !== null && "id" in json && typeof json.id === "string") return { id: json.id };
  throw new Error("an id is missing");
};
const topic = { topic: "rides", key: ({ id }: Ref) => id };
const Book = command("ride.book.v1", ref, topic);
const Booked = event("ride.booked.v1", ref, topic);
const Look = command("ride.look.v1", ref, topic);
const Noted = event("ride.noted.v1", ref, topic);

const Ride = Saga.make("ride", { version: 1, data: shape(ref) }).pipe(
  Saga.pivot("book", { send: Book, with: (data) => data, done: Booked, undo: { none: "nothing follows it" }, timeout: "1 second" }),
);

describe.runIf(server !== null)("a client on PostgreSQL", () => {
  let database: Database.Database;
  const clients: Array<SagaClient.SagaClient<PgDatabase.Sql>> = [];

  const connect = async () => {
    const client = await SagaClient.connect({
      database: PgDatabase.server({ url: database.url, schema: "rides" }),
      messages: [Noted],
      closeWithin: "200 millis",
    });
    clients.push(client);
    return client;
  };

  beforeEach(async () => {
    database = await Database.create(server ?? "");
  });
  afterEach(async () => {
    await Promise.all(clients.splice(0).map((client) => client.close()));
    await database.drop();
  });

  it("closes although a step never ends, and the next client asks for that step again under the same key", async () => {
    const keys: Array<string> = [];
    const first = await connect();
    const left = await first.saga({
      definition: Ride,
      steps: [
        step(Book, async (_, key) => {
          keys.push(`first ${key}`);
          return new Promise<never>(() => undefined);
        }),
      ],
    });
    expect(await left.start("a", { id: "a" })).toBe("running");
    await vi.waitFor(() => expect(keys).toEqual(["first a:book:1"]), PATIENCE);
    await first.close();

    const second = await connect();
    const rides = await second.saga({
      definition: Ride,
      steps: [
        step(Book, async (body, key) => {
          keys.push(`second ${key}`);
          return outcome(Booked, body);
        }),
      ],
    });
    await vi.waitFor(async () => expect((await rides.find("a"))?.status).toBe("completed"), PATIENCE);
    expect(keys).toEqual(["first a:book:1", "second a:book:1"]);
  });

  it("commits own statements and messages together, and neither when a constraint refuses", async () => {
    const client = await connect();
    await client.transaction((tx) => tx.sql.query("create table rides.notes (id text primary key)"));
    const noted: Array<string> = [];
    await client.on({ group: "notes", handlers: [handler(Noted, async ({ body }) => void noted.push(body.id))] });
    const note = (id: string) =>
      client.transaction(async (tx) => {
        tx.send(Noted, { id });
        await tx.sql.query("insert into rides.notes values ($1)", [id]);
      });
    await Promise.all(Array.from({ length: 20 }, (_, n) => note(String(n))));
    const refused: unknown = await note("7").catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(SagaError);
    expect(refused).toMatchObject({ code: "Refused", isRetryable: false });
    await note("last");
    await vi.waitFor(() => expect(noted).toHaveLength(21), PATIENCE);
    expect(new Set(noted).size).toBe(21);
  });

  it.each(["rollback", "-- done\ncommit", "select 1; commit"])(
    "refuses a statement that would part rows and messages (%j): neither is kept, also when that was caught",
    async (ending) => {
      const client = await connect();
      await client.transaction((tx) => tx.sql.query("create table rides.notes (id text primary key)"));
      const noted: Array<string> = [];
      await client.on({ group: "notes", handlers: [handler(Noted, async ({ body }) => void noted.push(body.id))] });
      const note = (id: string, last: string) =>
        client.transaction(async (tx) => {
          tx.send(Noted, { id });
          await tx.sql.query("insert into rides.notes values ($1)", [id]);
          await tx.sql.query(last).catch(() => undefined);
        });
      const refused: unknown = await note("parted", ending).catch((error: unknown) => error);
      expect(refused).toMatchObject({ code: "Misuse", message: expect.stringContaining("to roll back, fail or throw") });
      await note("kept", "savepoint a");
      await vi.waitFor(() => expect(noted).toEqual(["kept"]), PATIENCE);
      expect(await client.transaction((tx) => tx.sql.query("select id from rides.notes"))).toEqual([{ id: "kept" }]);
    },
  );

  it("refuses to connect to a database in which a saga of this version was another one", async () => {
    const changed = Saga.make("ride", { version: 1, data: shape(ref) }).pipe(
      Saga.step("look", { send: Look, with: (data) => data, done: Booked, undo: { none: "it changes nothing" } }),
      Saga.pivot("book", { send: Book, with: (data) => data, done: Booked, undo: { none: "nothing follows it" } }),
    );
    const client = await connect();
    const steps = [Book, Look].map((type) => step(type, async (body) => outcome(Booked, body)));
    await client.saga({ definition: Ride, steps: steps.slice(0, 1) });
    const next = await connect();
    await expect(next.saga({ definition: changed, steps })).rejects.toThrow(/not what it was/);
  });
});
