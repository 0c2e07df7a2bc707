/**
 * A relay beside the writers of its process, behind their COMMITs or after them, while COMMITs are cut at random and the relay itself is
 * stopped and started: what was committed is published, nothing else is, and the messages of a key come in order.
 */
import { type Message, MessageBus, Outbox, OutboxRelay, type PublishVerdict, UnitOfWork } from "@org/saga-core";
import { realServer } from "@tools/servers/testing";
import { Effect, Fiber, ManagedRuntime, Schedule } from "effect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import * as PgStores from "../src/PgStores.ts";
import * as CommitCuts from "./CommitCuts.ts";
import * as Database from "./Database.ts";
import { message } from "./Samples.ts";

const server = realServer("postgres");

const KEYS = ["ada", "bob"];
const MESSAGES = 80;
/** Between two looks at what is left, and at what was held back on the way. */
const LOOK_EVERY_MS = 10;
/** Between two commits of a writer, at most: so that the relay comes to rest now and then. */
const PAUSE_MS = 30;
/** How long a relay lives, at most. */
const LIFE_MS = 150;
const TIMEOUT_MS = 60_000;

describe.runIf(server !== null)("a relay beside its writers, with COMMITs cut at random", () => {
  let database: Database.Database;
  let cuts: CommitCuts.CommitCuts;
  let runtime: ManagedRuntime.ManagedRuntime<PgStores.PgStores, unknown>;

  beforeAll(async () => {
    database = await Database.create(server ?? "");
    // The relay's COMMITs as well.
    cuts = await CommitCuts.start(database.url, { seed: 20_261_122, rate: 0.25, letGoEveryMs: LOOK_EVERY_MS });
    runtime = ManagedRuntime.make(PgStores.layer({ url: cuts.url, schema: "cuts", poolSize: 6, settleTimeout: "60 seconds" }));
    await runtime.context();
  });
  afterAll(async () => {
    await runtime.dispose();
    await cuts.stop();
    await database.drop();
  });

  it("each key's messages are published in order, all that were committed, and no others", { timeout: TIMEOUT_MS }, async () => {
    const published: Array<Message.Encoded> = [];
    const bus = MessageBus.of({
      publish: (messages) =>
        Effect.sync(() => {
          published.push(...messages);
          return messages.map((): PublishVerdict => "Published");
        }),
      consume: () => Effect.never,
      ensureTopics: () => Effect.void,
    });
    const relay = Effect.provideService(Effect.forever(Effect.ignore(OutboxRelay.pass)), MessageBus, bus);
    const relays = Effect.forever(
      Effect.gen(function* () {
        const one = yield* Effect.forkChild(relay);
        yield* Effect.sleep(cuts.random() * LIFE_MS);
        yield* Fiber.interrupt(one);
      }),
    );
    const committed = new Set<string>();
    const write = (key: string) =>
      Effect.gen(function* () {
        const outbox = yield* Outbox;
        const unit = yield* UnitOfWork;
        for (let n = 0; n < MESSAGES; n++) {
          // Each try is a message of its own: one that was told as not committed must never be seen.
          const attempt = Effect.suspend(() => {
            const next = message(key, n);
            return Effect.as(unit.commit(outbox.append([next])), next.id);
          });
          committed.add(yield* Effect.retry(attempt, { while: ({ reason }) => reason === "Unavailable" }));
          yield* Effect.sleep(cuts.random() * PAUSE_MS);
        }
      });
    const load = Effect.gen(function* () {
      const outbox = yield* Outbox;
      const running = yield* Effect.forkChild(relays);
      cuts.cutting(true);
      yield* Effect.forEach(KEYS, write, { concurrency: "unbounded" });
      cuts.cutting(false);
      yield* Effect.repeat(outbox.backlog, { schedule: Schedule.spaced(LOOK_EVERY_MS), until: ({ pending }) => pending === 0 });
      yield* Fiber.interrupt(running);
    });
    await runtime.runPromise(load);
    expect(new Set(published.map(({ id }) => id))).toEqual(committed);
    // By the first time that each was published: a relay that dies before its marks publishes again.
    const firsts = [...new Map(published.map((each) => [each.id, each])).values()];
    const numbers = (key: string) => firsts.filter((each) => each.key === key).map(({ payload }) => Number(payload));
    for (const key of KEYS) expect(numbers(key)).toEqual([...Array(MESSAGES).keys()]);
    expect(cuts.lost()).toBeGreaterThan(MESSAGES / 4);
  });
});
