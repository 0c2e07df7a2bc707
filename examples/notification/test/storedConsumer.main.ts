/**
 * A process of a stored consumer, to be killed: says what it does, and hangs where it is told to. Its effect is a reply in
 * the outbox, in the transaction that admits.
 *
 *     storedConsumer.main.ts <postgres> <schema> <brokers> <prefix> <puller|worker|both> <none|beforeStore|beforeAck|beforeMark>
 */
import {
  CheckoutMessages as M,
  InboxPuller,
  InboxQueue,
  InboxWorker,
  MessageBus,
  OrderId,
  Responder,
  StoredConsumer,
} from "@org/saga-core";
import { KafkaBus } from "@org/saga-kafka";
import { PgStores } from "@org/saga-postgres";
import { Effect, Layer } from "effect";

const [url = "", schema = "", brokers = "", topicPrefix = "", role = "both", hang = "none"] = process.argv.slice(2);

/** Longer than it takes to stop this process once it was said that the batch is there. */
const HOLD_MS = 1_000;

const say = (line: string): Effect.Effect<void> => Effect.sync(() => void process.stdout.write(`${line}\n`));
const hangIf = (point: string): Effect.Effect<void> => (hang === point ? Effect.andThen(say("hanging"), Effect.never) : Effect.void);

const respond = Responder.handle({
  name: "inventory",
  respond: (envelopes) =>
    Effect.succeed(envelopes.map((each) => [Responder.reply(M.StockCommitted, { orderId: OrderId.make(each.key) }, each)])),
});

const options: StoredConsumer.Options<Effect.Services<ReturnType<typeof respond>>> = {
  group: "inventory",
  catalogue: M.catalogue,
  types: [M.CommitStock],
  handle: (envelopes) => Effect.tap(respond(envelopes), () => Effect.andThen(say(`handled ${envelopes.length}`), hangIf("beforeMark"))),
};

const consumer =
  role === "puller" ? InboxPuller.layer(options) : role === "worker" ? InboxWorker.layer(options) : StoredConsumer.layer(options);

const bus = Layer.effect(
  MessageBus,
  Effect.map(MessageBus, (kafka) => ({
    ...kafka,
    consume: (subscription, handle) =>
      kafka.consume(subscription, (batch) =>
        Effect.gen(function* () {
          yield* say(`got ${batch.length}`);
          if (hang === "beforeStore") yield* Effect.sleep(HOLD_MS);
          yield* handle(batch);
          yield* hangIf("beforeAck");
        }),
      ),
  })),
).pipe(
  Layer.provide(
    KafkaBus.layer({
      brokers: brokers.split(","),
      topicPrefix,
      sessionTimeoutMillis: 6_000,
      heartbeatMillis: 300,
      rebalanceTimeoutMillis: 3_000,
      fetchWaitMillis: 100,
    }),
  ),
);

const queue = Layer.effect(
  InboxQueue,
  Effect.map(InboxQueue, (stored) => ({
    ...stored,
    store: (name, fence, messages) => Effect.tap(stored.store(name, fence, messages), ({ _tag }) => say(_tag)),
  })),
);

await Layer.launch(consumer.pipe(Layer.provide(queue), Layer.provide([bus, PgStores.layer({ url, schema, poolSize: 6 })]))).pipe(
  Effect.runPromise,
);
