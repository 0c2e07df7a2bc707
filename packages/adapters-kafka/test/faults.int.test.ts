/** Brokers that come late, die or fall silent, and consumers that are killed: nothing is lost, nothing is inverted. */
import { type Delivery, MessageBus } from "@org/saga-core";
import { freePort, type KafkaServer, startKafka, startTcpProxy, type TcpProxy } from "@tools/servers";
import { realServer } from "@tools/servers/testing";
import { Effect, Fiber, Logger } from "effect";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import * as Broker from "./Broker.ts";
import { consumeInto, ensure, firsts, message, payloads, publish, until } from "./Traffic.ts";

const FAULT_TIMEOUT_MS = 120_000;

const runOn = <A, E>(brokers: ReadonlyArray<string>, effect: Effect.Effect<A, E, MessageBus>, publishTimeoutMillis = 5_000): Promise<A> =>
  effect.pipe(
    Effect.provide(Broker.busOf(brokers, "faults-", { publishTimeoutMillis, requestTimeoutMillis: 2_000, connectTimeoutMillis: 1_000 })),
    Effect.provide(Logger.layer([])),
    Effect.runPromise,
  );

const KEYS = ["ada", "bob", "cleo"];

const expectOrder = (got: ReadonlyArray<Delivery>, turns: number): void => {
  for (const key of KEYS) {
    const ours = payloads(got).filter((payload) => payload.startsWith(`${key}:`));
    expect(firsts(ours)).toEqual(Array.from({ length: turns }, (_, index) => `${key}:${index + 1}`));
  }
};

const turnOf = (topic: string, turn: number) => KEYS.map((key) => message(topic, key, `${key}:${turn}`));

// A broker can be started wherever the run's own could.
describe.runIf(realServer("kafka") !== null)("KafkaBus with a broker of its own,", () => {
  let server: KafkaServer;
  let proxy: TcpProxy;
  let port: number;
  let started: Promise<void>;

  beforeAll(async () => {
    port = await freePort();
    const target = await freePort();
    proxy = await startTcpProxy({ target: { port: target }, port });
    started = startKafka({ port: target, advertisedPort: port }).then((broker) => void (server = broker));
  }, FAULT_TIMEOUT_MS);

  afterAll(async () => {
    await started;
    await proxy.stop();
    await server.stop();
  });

  test(
    "started before its broker, it comes up when the broker does",
    () =>
      runOn(
        [`127.0.0.1:${port}`],
        Effect.gen(function* () {
          const got: Array<Delivery> = [];
          const consumer = yield* Effect.forkChild(consumeInto("early", ["early"], got));
          const publisher = yield* Effect.forkChild(publish([message("early", "key", "1")]));
          yield* Effect.promise(() => started);
          yield* Effect.retry(ensure("early"), { times: 20 });
          yield* Fiber.join(publisher);
          yield* until(() => got.length >= 1);
          yield* Fiber.interrupt(consumer);
        }),
      ),
    FAULT_TIMEOUT_MS,
  );

  test(
    "kill -9 of the broker in the middle of the traffic loses and inverts nothing",
    () =>
      runOn(
        [`127.0.0.1:${port}`],
        Effect.gen(function* () {
          yield* ensure("killed");
          const got: Array<Delivery> = [];
          const consumer = yield* Effect.forkChild(consumeInto("killed", ["killed"], got));
          const TURNS = 300;
          const publisher = yield* Effect.forkChild(
            Effect.gen(function* () {
              for (let turn = 1; turn <= TURNS; turn++) {
                yield* publish(turnOf("killed", turn));
                yield* Effect.sleep("5 millis");
              }
            }),
          );
          yield* until(() => got.length >= 100);
          yield* Effect.promise(() => server.kill());
          yield* Effect.sleep("500 millis");
          yield* Effect.promise(() => server.restart());
          yield* Fiber.join(publisher);
          yield* until(() => new Set(payloads(got)).size >= TURNS * KEYS.length);
          yield* Fiber.interrupt(consumer);
          expectOrder(got, TURNS);
        }),
      ),
    FAULT_TIMEOUT_MS,
  );

  test(
    "connections that are reset again and again lose and invert nothing",
    () =>
      runOn(
        [`127.0.0.1:${port}`],
        Effect.gen(function* () {
          yield* ensure("reset");
          const got: Array<Delivery> = [];
          const consumer = yield* Effect.forkChild(consumeInto("reset", ["reset"], got));
          const storm = setInterval(proxy.reset, 700);
          const TURNS = 200;
          for (let turn = 1; turn <= TURNS; turn++) {
            yield* publish(turnOf("reset", turn));
            yield* Effect.sleep("10 millis");
          }
          clearInterval(storm);
          yield* until(() => new Set(payloads(got)).size >= TURNS * KEYS.length);
          yield* Fiber.interrupt(consumer);
          expectOrder(got, TURNS);
        }),
      ),
    FAULT_TIMEOUT_MS,
  );

  test(
    "a broker that falls silent is Unavailable within the publish timeout, and goes on afterwards",
    () =>
      runOn(
        [`127.0.0.1:${port}`],
        Effect.gen(function* () {
          yield* ensure("silent");
          const bus = yield* MessageBus;
          const got: Array<Delivery> = [];
          const consumer = yield* Effect.forkChild(consumeInto("silent", ["silent"], got));
          yield* publish(turnOf("silent", 1));
          yield* until(() => got.length >= KEYS.length);
          proxy.stall();
          const before = Date.now();
          expect((yield* Effect.flip(bus.publish(turnOf("silent", 2)))).reason).toBe("Unavailable");
          expect(Date.now() - before).toBeLessThan(2_500);
          yield* Effect.promise(() => proxy.resume());
          yield* publish(turnOf("silent", 2));
          yield* publish(turnOf("silent", 3));
          yield* until(() => new Set(payloads(got)).size >= 3 * KEYS.length);
          yield* Fiber.interrupt(consumer);
          expectOrder(got, 3);
        }),
        1_000,
      ),
    FAULT_TIMEOUT_MS,
  );

  test(
    "kill -9 of a consumer in the middle of a batch: the batch comes to the next one, what was acknowledged does not",
    () =>
      runOn(
        [`127.0.0.1:${port}`],
        Effect.gen(function* () {
          yield* ensure("murder");
          yield* publish(Array.from({ length: 10 }, (_, index) => message("murder", "key", String(index + 1))));
          const first = yield* Effect.promise(() => killedAt(`127.0.0.1:${port}`, "faults-", "murder", "5"));
          expect(first).toEqual(["1,2", "3,4", "5,6"]);
          const second: Array<Delivery> = [];
          const consumer = yield* Effect.forkChild(consumeInto("murder", ["murder"], second, undefined, 2));
          yield* until(() => second.length >= 6);
          yield* Fiber.interrupt(consumer);
          expect(payloads(second)).toEqual(["5", "6", "7", "8", "9", "10"]);
        }),
      ),
    FAULT_TIMEOUT_MS,
  );
});

/** Runs a consumer process until it hangs over `deadly`, and kills it; the batches it got. */
const killedAt = async (broker: string, prefix: string, topic: string, deadly: string): Promise<ReadonlyArray<string>> => {
  const program = new URL("./consumer.main.ts", import.meta.url).pathname;
  const child = spawn(process.execPath, ["--conditions=@org/source", program, broker, prefix, topic, deadly], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const batches: Array<string> = [];
  for await (const line of createInterface({ input: child.stdout })) {
    batches.push(line);
    if (line.split(",").includes(deadly)) break;
  }
  const gone = once(child, "exit");
  child.kill("SIGKILL");
  await gone;
  return batches;
};
