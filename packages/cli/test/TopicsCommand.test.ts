import { CheckoutMessages } from "@org/saga-core";
import { freePort } from "@tools/servers";
import { Layer } from "effect";
import { describe, expect, test } from "vitest";
import * as Brokers from "../src/Brokers.ts";
import * as Databases from "../src/Databases.ts";
import { deadBrokers, memoryBrokers, runWith } from "./Shell.ts";

const broker = (known: Set<string>, prefix = "") => {
  const services = Layer.merge(Databases.layer, memoryBrokers(known, prefix));
  return (...args: ReadonlyArray<string>) => runWith(services, ["topics", ...args]);
};
const ALL = CheckoutMessages.catalogue.topics;

describe("saga topics create", () => {
  test("makes the topics of the checkout, once", async () => {
    const known = new Set<string>();
    const topics = broker(known);
    expect(await topics("create")).toEqual({ code: 0, stdout: ALL.join("\n"), stderr: "" });
    expect([...known].toSorted()).toEqual(ALL);
    expect(await topics("create")).toEqual({ code: 0, stdout: "every topic is there", stderr: "" });
  });

  test("makes the topics that are named instead", async () => {
    const known = new Set(["trip.events"]);
    const { code, stdout } = await broker(known)(
      "create",
      "--topic",
      "trip.events",
      "--topic",
      "trip.commands",
      "--topic",
      "trip.commands",
      "--json",
    );
    expect([code, JSON.parse(stdout)]).toEqual([0, { created: ["trip.commands"], existing: ["trip.events"] }]);
    expect([...known]).toEqual(["trip.events", "trip.commands"]);
  });

  test("with --dry-run makes nothing, and says what it would", async () => {
    const known = new Set<string>();
    const { code, stdout } = await broker(known)("create", "--topic", "a.b", "--dry-run", "--json");
    expect([code, JSON.parse(stdout), known.size]).toEqual([0, { wouldCreate: ["a.b"], existing: [] }, 0]);
  });

  test("puts the prefix of the environment before names", async () => {
    const known = new Set<string>();
    expect((await broker(known, "staging.")("create", "--topic", "a.b")).stdout).toBe("staging.a.b");
    expect([...known]).toEqual(["staging.a.b"]);
  });
});

describe("saga topics list", () => {
  test("ends with 3 while some are missing, and says which on stdout", async () => {
    const { code, stdout, stderr } = await broker(new Set(["a.b"]))("list", "--topic", "a.b", "--topic", "c.d");
    expect(code).toBe(3);
    expect(stdout).toBe("TOPIC  EXISTS\na.b    yes\nc.d    no");
    expect(stderr).toBe("saga: 1 of 2 topics are missing: saga topics create");
  });

  test("ends with 0 when all are there", async () => {
    const { code, stdout, stderr } = await broker(new Set(ALL))("list", "--json");
    expect([code, stderr]).toEqual([0, ""]);
    expect(JSON.parse(stdout)).toEqual(ALL.map((topic) => ({ topic, exists: true })));
  });

  test("ends with 4 if no broker answers, with 1 if it refuses", async () => {
    const services = (reason: "Unavailable" | "Refused") => Layer.merge(Databases.layer, deadBrokers(reason));
    expect(await runWith(services("Unavailable"), ["topics", "list"])).toEqual({
      code: 4,
      stdout: "",
      stderr: "saga: Kafka: no broker answers",
    });
    expect((await runWith(services("Refused"), ["topics", "create"])).code).toBe(1);
  });
});

describe("the broker of the environment", () => {
  const services = Layer.merge(Databases.layer, Brokers.layer);
  const topics = (env: Readonly<Record<string, string>>) => runWith(services, ["topics", "list", "--topic", "a.b"], env);

  test.each([{}, { SAGA_KAFKA_BROKERS: " , " }])("that is not set (%j) is a usage error", async (env) => {
    const { code, stderr } = await topics(env);
    expect([code, stderr]).toEqual([2, "saga: SAGA_KAFKA_BROKERS is not set: host:port, separated by commas"]);
  });

  test("that is no list of addresses is a usage error, which does not repeat it", async () => {
    const { code, stderr } = await topics({ SAGA_KAFKA_BROKERS: "127.0.0.1:9092,https://user:hunter2@kafka" });
    expect([code, stderr]).toEqual([2, "saga: SAGA_KAFKA_BROKERS is not a list of host:port, separated by commas"]);
  });

  test("that does not answer ends the command with 4", async () => {
    const { code, stdout, stderr } = await topics({ SAGA_KAFKA_BROKERS: `127.0.0.1:${await freePort()}`, SAGA_TOPIC_PREFIX: "x." });
    expect([code, stdout]).toEqual([4, ""]);
    expect(stderr).toMatch(/^saga: Kafka: no broker could be used/);
  });
});
