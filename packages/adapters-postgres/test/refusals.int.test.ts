/** What is refused before it is sent, on a server: neither is its neighbours' trouble. */
import { Aggregate, CommandHandler, type Decider, DocumentAggregate, Mailbox } from "@org/saga-core";
import { realServer } from "@tools/servers/testing";
import { Effect, Exit, ManagedRuntime, Result, Schema } from "effect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import * as PgClient from "../src/PgClient.ts";
import * as PgStores from "../src/PgStores.ts";
import * as Database from "./Database.ts";
import { refusals } from "./Refusals.ts";

const server = realServer("postgres");

const counter: Decider.Decider<number, "Count", "Counted", never> = {
  initial: 0,
  decide: () => Result.succeed(["Counted"]),
  evolve: (count) => count + 1,
};
const counters = DocumentAggregate.make({
  name: "counter",
  decider: counter,
  schema: Schema.Int,
  rejection: Schema.Never,
  fromMessage: () => null,
  fromTimer: (): "Count" => "Count",
  react: () => ({ drafts: [], timers: [] }),
});
const count = (key: string) => Aggregate.request<(now: number) => "Count">(key, () => "Count", { idempotency: null });

describe.runIf(server !== null)("a real server", () => {
  let database: Database.Database;
  let runtime: ManagedRuntime.ManagedRuntime<PgStores.PgStores | PgClient.PgClient, unknown>;
  beforeAll(async () => {
    database = await Database.create(server ?? "");
    runtime = ManagedRuntime.make(PgStores.layer({ url: database.url, schema: "refusals" }));
    await runtime.context();
  });
  afterAll(async () => {
    await runtime.dispose();
    await database.drop();
  });

  refusals(() => runtime);

  it("a key that is not Unicode is refused alone: its neighbours in the batch are answered", async () => {
    const counting = Effect.scoped(
      Effect.gen(function* () {
        const run = CommandHandler.runBatch(counters);
        const mailbox = yield* Mailbox.make({ name: "counters", key: Aggregate.keyOf<(now: number) => "Count">, run });
        const keys = ["a\ud800", "well", "a\ud801", "a\ud800", "good"];
        return yield* Effect.forEach(keys, (key) => Effect.exit(mailbox.submit(count(key))), { concurrency: "unbounded" });
      }),
    );
    const exits = await runtime.runPromise(counting);
    expect(exits.map(Exit.isSuccess)).toEqual([false, true, false, false, true]);
    expect(JSON.stringify(exits[0])).toMatch(/Poisoned.*not Unicode/);
  });

  it("a connection whose prepared statements were taken away is told once, as Unavailable, and replaced", async () => {
    const alone = ManagedRuntime.make(PgClient.layer({ url: database.url, schema: "refusals", poolSize: 1 }));
    const one = Effect.flatMap(PgClient.PgClient, (client) => client.query("Test.one", "select 1 as one"));
    await alone.runPromise(one);
    await alone.runPromise(Effect.flatMap(PgClient.PgClient, (client) => client.query("Test.deallocate", "deallocate all")));
    expect(await alone.runPromise(Effect.flip(one))).toMatchObject({ reason: "Unavailable", message: expect.stringContaining("26000") });
    expect((await alone.runPromise(one)).rows).toEqual([{ one: 1 }]);
    await alone.dispose();
  });
});
