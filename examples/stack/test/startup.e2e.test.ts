/** Services that are there before their servers: nobody has to start things in order. */
import { setTimeout as sleep } from "node:timers/promises";
import { flows, runFlows } from "@example/scenarios";
import { freePort, type Server, startKafka, startPostgres, startRedis } from "@tools/servers";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { SERVICES } from "../src/RealStack.ts";
import * as TestStack from "./TestStack.ts";

const DEADLINE_MS = 120_000;
/** Long enough for a service to have given up, if it were one to do so: each looks for its servers at once. */
const WITHOUT_SERVERS_MS = 3_000;

const HOST = "127.0.0.1";

describe.runIf(TestStack.addresses() !== null)("services that are started before their servers", () => {
  const started: Array<Server> = [];
  let ports: Readonly<Record<"postgres" | "redis" | "kafka", number>>;
  let own: TestStack.TestStack;
  let failed = false;

  beforeAll(async () => {
    ports = { postgres: await freePort(), redis: await freePort(), kafka: await freePort() };
    own = await TestStack.make(
      {
        postgresUrl: `postgres://postgres@${HOST}:${ports.postgres}/postgres`,
        redisUrl: `redis://${HOST}:${ports.redis}`,
        kafkaBrokers: [`${HOST}:${ports.kafka}`],
      },
      // It is there as soon as the server is.
      { database: "postgres" },
    );
  });

  afterEach(({ task }) => {
    failed ||= task.result?.state === "fail";
  });

  afterAll(async () => {
    await own?.stop(failed);
    await Promise.all(started.map((server) => server.stop()));
  }, DEADLINE_MS);

  it("come up when their servers do, and bring an order to its end", { timeout: DEADLINE_MS }, async () => {
    const { stack } = own;
    stack.start();
    await sleep(WITHOUT_SERVERS_MS);
    expect(SERVICES.filter((service) => !stack.processes[service].isRunning)).toEqual([]);
    for (const url of [stack.urls.order, stack.urls.checkout, stack.urls.inventory]) {
      expect(
        await fetch(`${url}/readyz`).then(
          (response) => response.ok,
          () => false,
        ),
      ).toBe(false);
    }

    started.push(await startRedis({ port: ports.redis }));
    started.push(await startPostgres({ port: ports.postgres }));
    started.push(await startKafka({ port: ports.kafka }));
    await stack.provision();
    await stack.ready();

    const report = await runFlows(stack.urls.order, { flows: flows.filter(({ name }) => name === "happy"), deadlineMillis: DEADLINE_MS });
    expect(report).toMatchObject({ passed: 1, failed: 0 });
  });
});
