/** A process with a relay that publishes to a `Recorder`: `node relay.main.ts <url> <schema> <port> <idle timeout in ms>`. */
import { connect, type Socket } from "node:net";
import { createInterface } from "node:readline";
import { BusError, type Message, MessageBus, OutboxRelay, type PublishVerdict } from "@org/saga-core";
import { Duration, Effect, Layer } from "effect";
import * as PgStores from "../src/PgStores.ts";
import type { Line } from "./Recorder.ts";

const [url = "", schema = "", port = "", idleMillis = ""] = process.argv.slice(2);

/** Messages of one piece: a batch takes several, so that there is a middle of it. */
const PIECE = 5;
const BATCH_MAX = 20;

let socket: Socket | null = null;
let answers: AsyncIterator<string> | null = null;

const say = async (line: Line): Promise<void> => {
  if (socket === null || answers === null) {
    socket = connect(Number(port), "127.0.0.1");
    socket.on("error", () => undefined);
    answers = createInterface({ input: socket })[Symbol.asyncIterator]();
  }
  socket.write(`${JSON.stringify(line)}\n`);
  const { done } = await answers.next().catch(() => ({ done: true }));
  if (done !== true) return;
  socket = null;
  throw new Error("the recorder is gone");
};

const lineOf = (at: Line["at"], messages: ReadonlyArray<Message.Encoded>): Line => ({
  at,
  pid: process.pid,
  messages: messages.map(({ id, key, payload }) => ({ id, key, n: Number(payload) })),
});

/** One talk at a time, as a broker's connection has it. */
let turn: Promise<unknown> = Promise.resolve();

const publish = (messages: ReadonlyArray<Message.Encoded>): Promise<void> => {
  const talk = async (): Promise<void> => {
    await say(lineOf("begin", messages));
    for (let from = 0; from < messages.length; from += PIECE) await say(lineOf("piece", messages.slice(from, from + PIECE)));
  };
  const told = turn.then(talk);
  turn = told.catch(() => undefined);
  return told;
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
process.on("disconnect", () => process.exit(0));
Effect.runFork(
  Layer.launch(OutboxRelay.layerWith({ batchMax: BATCH_MAX, shardsInFlight: 2 }).pipe(Layer.provide(Layer.merge(stores, bus)))),
);
