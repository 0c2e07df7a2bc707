import { Effect, Result } from "effect";
import { describe, expect, it } from "vitest";
import { Concurrency, Connections, ServiceConfig } from "@example/contracts";

const parsed = (environment: ServiceConfig.Environment) => Result.getOrThrow(ServiceConfig.parse(environment));

const order: Connections.Shape = { mailbox: true, responds: false, stockBatches: 0, loops: 2 };
const inventory: Connections.Shape = { mailbox: false, responds: true, stockBatches: 1, loops: 2 };

const poolSize = (environment: ServiceConfig.Environment, shape: Connections.Shape = order) =>
  Effect.runSync(Effect.result(Connections.poolSize(parsed(environment), "order", shape)));

describe("how much a process does at a time", () => {
  it("is what the library does by default", () => {
    expect(parsed({}).concurrency).toEqual(Concurrency.defaults);
  });

  it("is set role by role", () => {
    const { concurrency } = parsed({
      SAGA_PG_POOL_SIZE: "40",
      MAILBOX_CAPACITY: "11",
      MAILBOX_BATCH_MAX: "12",
      MAILBOX_IN_FLIGHT: "3",
      RELAY_SHARDS_IN_FLIGHT: "16",
      RELAY_BATCH_MAX: "14",
      CONSUMER_PARTITIONS: "5",
      CONSUMER_BATCH_MAX: "15",
      WORKER_TIMERS_MAX: "17",
      WORKER_HOLDS_MAX: "18",
    });
    expect(concurrency).toEqual({
      poolSize: 40,
      mailbox: { capacity: 11, batchMax: 12, inFlightMax: 3 },
      relay: { shardsInFlight: 16, batchMax: 14 },
      consumer: { partitions: 5, batchMax: 15 },
      worker: { timersMax: 17, holdsMax: 18 },
    });
  });
});

describe("the connections of a process", () => {
  it("are as many as its roles can hold at once, unless set", () => {
    expect(poolSize({})).toEqual(Result.succeed(2 + 2 + 4 + 1 + 2));
    expect(poolSize({}, inventory)).toEqual(Result.succeed(2 + 1 + 8 + 4 + 1 + 2));
    expect(poolSize({ ROLES: "relay", RELAY_SHARDS_IN_FLIGHT: "7" })).toEqual(Result.succeed(2 + 7 + 1));
    expect(poolSize({ ROLES: "web" })).toEqual(Result.succeed(2 + 2));
    expect(poolSize({ ROLES: "consumer" }, inventory)).toEqual(Result.succeed(2 + 1 + 8));
    expect(poolSize({ ROLES: "worker" })).toEqual(Result.succeed(2 + 2 + 2));
    expect(poolSize({ SAGA_PG_POOL_SIZE: "11" })).toEqual(Result.succeed(11));
    expect(poolSize({ SAGA_PG_POOL_SIZE: "50" })).toEqual(Result.succeed(50));
  });

  it("are refused when they are fewer: one role would starve another; the sum is shown", () => {
    const refused = poolSize({ SAGA_PG_POOL_SIZE: "10" });
    expect(Result.isFailure(refused) ? refused.failure : null).toMatchObject({
      _tag: "ServiceConfigError",
      variable: "SAGA_PG_POOL_SIZE",
      message:
        "SAGA_PG_POOL_SIZE is 10, but order can hold 11 connections at once: 2 reads over HTTP + 2 batches of commands (MAILBOX_IN_FLIGHT) + " +
        "4 shards of the outbox (RELAY_SHARDS_IN_FLIGHT) + 1 count of the outbox + 2 timers and sweeps. Set at least 11 or remove it, lower what is added up, " +
        "or give each of its ROLES a process of its own",
    });
    const alone = poolSize({ SAGA_PG_POOL_SIZE: "5", ROLES: "relay" });
    expect(Result.isFailure(alone) ? alone.failure.message : "").toMatch(/hold 7 connections .* lower what is added up$/);
    expect(Result.isFailure(poolSize({ SAGA_PG_POOL_SIZE: "17" }, inventory))).toBe(true);
  });
});
