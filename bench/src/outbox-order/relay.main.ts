/** A relay process that publishes to a `Recorder`: `relay.main.ts <url> <schema> <port> <idle timeout in ms>`. */
import { connect } from "node:net";
import { createInterface } from "node:readline";
import { BusError, type Message, MessageBus, OutboxRelay, type PublishVerdict } from "@org/saga-core";
import { PgStores } from "@org/saga-postgres";
import { Duration, Effect, Layer } from "effect";

const [url = "", schema = "", port = "", idleMillis = ""] = process.argv.slice(2);

const PIECE = 50;
const BATCH_MAX = 200;
const SHARDS_IN_FLIGHT = 4;

const publish = async (messages: ReadonlyArray<Message.Encoded>): Promise<void> => {
  const socket = connect(Number(port), "127.0.0.1");
  socket.on("error", () => undefined);
  const lines = createInterface({ input: socket });
  lines.on("error", () => undefined);
  const answers = lines[Symbol.asyncIterator]();
  try {
    for (let from = 0; from < messages.length; from += PIECE) {
      const names = messages.slice(from, from + PIECE).map(({ key, payload }) => `${key}#${payload}`);
      socket.write(`${process.pid} ${names.join(" ")}\n`);
      if ((await answers.next()).done === true) throw new Error("the recorder is gone");
    }
  } finally {
    socket.destroy();
  }
};

const bus = Layer.succeed(MessageBus, {
  publish: (messages) =>
    Effect.tryPromise({
      try: () => publish(messages),
      catch: () => new BusError({ reason: "Unavailable", operation: "MessageBus.publish", message: "the recorder is gone" }),
    }).pipe(Effect.as(messages.map((): PublishVerdict => "Published"))),
  consume: () => Effect.never,
  ensureTopics: () => Effect.void,
});

const stores = PgStores.layer({ url, schema, idleInTransactionTimeout: Duration.millis(Number(idleMillis)) });
const relay = OutboxRelay.layerWith({ batchMax: BATCH_MAX, shardsInFlight: SHARDS_IN_FLIGHT });
process.on("disconnect", () => process.exit(0));
Effect.runFork(Layer.launch(relay.pipe(Layer.provide(Layer.merge(stores, bus)))));
