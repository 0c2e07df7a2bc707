/**
 * The contender. Enqueue: a mailbox whose batch writes its business rows and its messages in one commit. Drain: relay → bus in
 * memory → consumer, whose batch is admitted by the inbox and leaves its effects in one commit.
 */
import {
  Batch,
  CommandHandler,
  Inbox,
  Mailbox,
  MemoryBus,
  Message,
  MessageBus,
  MessageConsumer,
  OutboxRelay,
  Transaction,
  UnitOfWork,
} from "@org/saga-core";
import { PgClient, PgStores } from "@org/saga-postgres";
import { Effect, Fiber, Layer, Schema } from "effect";
import * as Serve from "../Serve.ts";
import * as Workload from "./Workload.ts";

const SCHEMA = "ours";
const CONSUMER = "bench";
/** Each is consumed batch by batch: some handle while others commit. Of 1, 2 and 4 the best. */
const PARTITIONS = 4;

const Placed = Message.event("bench.placed.v1", Schema.Struct({ id: Schema.String, customer: Schema.String, amount: Schema.Int }), {
  topic: "bench.events",
  key: ({ id }) => id,
});

/** Writes a batch of requests in one commit. */
const write = Effect.fnUntraced(function* (items: ReadonlyArray<Workload.Business>) {
  const unitOfWork = yield* UnitOfWork;
  const client = yield* PgClient.PgClient;
  const rows = client.within("bench.write", Workload.insertMany(SCHEMA), [
    items.map(({ id }) => id),
    items.map(({ customer }) => customer),
    items.map(({ amount }) => amount),
  ]);
  const sent = items.map((item) => ({
    cause: { correlationId: item.id, causationId: null, traceparent: null, tracestate: null },
    drafts: [Placed.draft(item)],
  }));
  const messages = Effect.flatMap(Transaction, ({ now }) => CommandHandler.sendAll(sent, now));
  // Together: they share a round trip.
  yield* unitOfWork.commit(Effect.all([rows, messages], { concurrency: "unbounded", discard: true }));
  return items;
});

/** When a handler began, by key, and how many messages were handled and committed. */
const begun = new Map<string, number>();
let handled = 0;

/** Handles a batch of messages in one commit. */
const handle = Batch.isolate(
  CONSUMER,
  Effect.fnUntraced(function* (envelopes: ReadonlyArray<Message.Envelope>) {
    const unitOfWork = yield* UnitOfWork;
    const client = yield* PgClient.PgClient;
    const inbox = yield* Inbox;
    const ids = envelopes.map(({ id }) => id);
    const now = performance.now();
    for (const { key } of envelopes) begun.set(key, now);
    const effects = Effect.flatMap(inbox.admit(CONSUMER, ids), (verdicts) =>
      client.within("bench.handle", Workload.effectMany(SCHEMA), [
        envelopes.flatMap(({ key }, index) => (verdicts[index] === "First" ? [key] : [])),
      ]),
    );
    yield* unitOfWork.commit(effects);
    handled += envelopes.length;
    return ids;
  }),
);

/** Messages of one partition in one commit. Of 500 and 1,000 the better. */
const BATCH_MAX = 1_000;

/** Relay and consumer, in this process. */
const workers = Layer.launch(
  Layer.merge(
    OutboxRelay.layer,
    MessageConsumer.layer({ group: CONSUMER, catalogue: Message.catalogue([Placed]), types: [Placed], handle, batchMax: BATCH_MAX }),
  ),
);

const program = Effect.gen(function* () {
  const mailbox = yield* Mailbox.make({ name: "bench", key: ({ id }: Workload.Business) => id, run: write });
  const client = yield* PgClient.PgClient;
  const bus = yield* MessageBus;
  yield* bus.ensureTopics([Placed.topic]);
  const context = yield* Effect.context<Effect.Services<typeof workers>>();
  const runPromise = Effect.runPromiseWith(context);
  const query = (text: string) =>
    Effect.map(client.query<{ readonly count: number }>("bench", text), ({ rows }) => rows[0]?.count ?? Number.NaN);
  for (const text of Workload.tables(SCHEMA)) yield* query(text);

  /** Runs `body` while relay and consumer work. */
  const working = async <A>(body: () => Promise<A>): Promise<A> => {
    handled = 0;
    begun.clear();
    const fiber = Effect.runForkWith(context)(workers);
    try {
      return await body();
    } finally {
      await runPromise(Fiber.interrupt(fiber));
    }
  };

  Serve.serve({
    enqueue: ({ millis = 0, inFlight = 1, round = 0 }) => {
      let asked = 0;
      const start = performance.now();
      const lane = Effect.gen(function* () {
        while (performance.now() - start < millis) yield* mailbox.submit(Workload.business(`${round}`, asked++));
      });
      const lanes = Effect.forEach(Array.from({ length: inFlight }), () => lane, { concurrency: "unbounded", discard: true });
      return runPromise(Effect.map(lanes, () => ({ done: asked, seconds: (performance.now() - start) / 1_000 })));
    },
    fill: async ({ count = 0, round = 0 }) => {
      const all = Array.from({ length: count }, (_, n) => Workload.business(`${round}`, n));
      await runPromise(mailbox.submitAll(all));
      return {};
    },
    drain: ({ count = 0, atMostMillis = 0 }) => {
      const start = performance.now();
      return working(async () => {
        await Serve.until(() => handled >= count, atMostMillis);
        return { seconds: (performance.now() - start) / 1_000 };
      });
    },
    latency: ({ perSecond = 1, millis = 0, round = 0, atMostMillis = 0 }) =>
      working(async () => {
        const committed = new Map<string, number>();
        const count = await Serve.evenly(perSecond, millis, async (n) => {
          const item = Workload.business(`${round}`, n);
          await runPromise(mailbox.submit(item));
          committed.set(item.id, performance.now());
        });
        await Serve.until(() => handled >= count, atMostMillis);
        return { count, p50Millis: Serve.p50([...committed].map(([id, at]) => (begun.get(id) ?? Number.NaN) - at)) };
      }),
    audit: async () => ({
      business: await runPromise(query(Workload.count(`${SCHEMA}.business`))),
      effects: await runPromise(query(Workload.count(`${SCHEMA}.effects`))),
      waiting: await runPromise(query(`${Workload.count(`${SCHEMA}.outbox`)} where sent_at is null`)),
    }),
    clear: async () => {
      await runPromise(query(`truncate ${SCHEMA}.outbox, ${SCHEMA}.inbox, ${SCHEMA}.business, ${SCHEMA}.effects`));
      return {};
    },
  });
  return yield* Effect.never;
});

const ports = Layer.mergeAll(
  PgStores.layer({ url: process.env["BENCH_PG_URL"] ?? "", schema: SCHEMA }),
  MemoryBus.layerWith({ partitions: PARTITIONS }),
);

Effect.runFork(Effect.scoped(program).pipe(Effect.provide(ports), Effect.tapCause(Effect.logError)));
