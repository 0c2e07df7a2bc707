/** KafkaBus keeps the contract of `MessageBus` on a real broker. */
import { MessageBusContract } from "@org/saga-core/testing";
import { realServer } from "@tools/servers/testing";
import { Effect, Logger } from "effect";
import { afterAll, describe, test } from "vitest";
import * as Broker from "./Broker.ts";

const brokers = realServer("kafka") ?? [];
const prefix = Broker.prefixed("contract");

describe.runIf(brokers.length > 0)("KafkaBus keeps the contract of MessageBus:", () => {
  afterAll(() => Broker.clean(brokers, prefix));
  for (const { name, run } of MessageBusContract.cases) {
    test(name, () => Effect.runPromise(run.pipe(Effect.provide(Broker.busOf(brokers, prefix)), Effect.provide(Logger.layer([])))));
  }
});
