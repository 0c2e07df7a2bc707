/** A consumer process to be killed: says what it gets, and hangs over the payload that it is told. */
import { MessageBus } from "@org/saga-core";
import { Effect } from "effect";
import * as Broker from "./Broker.ts";
import { payloads } from "./Traffic.ts";

const [brokers = "", prefix = "", topic = "", deadly = ""] = process.argv.slice(2);

await Effect.flatMap(MessageBus, (bus) =>
  bus.consume({ group: topic, topics: [topic], batchMax: 2 }, (batch) =>
    Effect.suspend(() => {
      const got = payloads(batch);
      process.stdout.write(`${got.join()}\n`);
      return got.includes(deadly) ? Effect.never : Effect.void;
    }),
  ),
).pipe(Effect.provide(Broker.busOf(brokers.split(","), prefix)), Effect.runPromise);
