/**
 * How much a process does at a time, role by role. The parts have the names of the library's options, so that they can be
 * handed over as they are. How many connections that takes: see `Connections`.
 */
import { HoldSweeper, Mailbox, MessageConsumer, OutboxRelay, TimerPump } from "@org/saga-core";
import { Result } from "effect";
import { type Environment, type ServiceConfigError, valueOf, whole } from "./Environment.ts";

export interface Concurrency {
  /** Connections of one process to PostgreSQL; null: as many as its roles can hold at once. */
  readonly poolSize: number | null;
  /** Commands of every origin: HTTP, messages, timers. */
  readonly mailbox: { readonly capacity: number; readonly batchMax: number; readonly inFlightMax: number };
  readonly relay: { readonly shardsInFlight: number; readonly batchMax: number };
  readonly consumer: { readonly partitions: number; readonly batchMax: number };
  readonly worker: { readonly timersMax: number; readonly holdsMax: number };
}

/** Partitions of one consumer handled at a time: what the Kafka adapter does by default. */
const PARTITIONS = 8;

export const defaults: Concurrency = {
  poolSize: null,
  mailbox: { capacity: Mailbox.CAPACITY, batchMax: Mailbox.BATCH_MAX, inFlightMax: Mailbox.IN_FLIGHT_MAX },
  relay: { shardsInFlight: OutboxRelay.SHARDS_IN_FLIGHT, batchMax: OutboxRelay.RELAY_BATCH_MAX },
  consumer: { partitions: PARTITIONS, batchMax: MessageConsumer.CONSUMER_BATCH_MAX },
  worker: { timersMax: TimerPump.PUMP_BATCH_MAX, holdsMax: HoldSweeper.SWEEP_BATCH_MAX },
};

/** Connections of one process: beyond that a server needs a pooler in front of it. */
const POOL_MAX = 1_000;

/** Items of one batch: its locks are held, and its statements' lists are kept, until it ends. */
const ITEMS_MAX = 10_000;

/** Waiting commands are held in memory. */
const CAPACITY_MAX = 1_000_000;

/** Transactions, shards or partitions at a time. */
const PARALLEL_MAX = 256;

export const parse = (environment: Environment): Result.Result<Concurrency, ServiceConfigError> =>
  Result.gen(function* () {
    const parallel = (name: "MAILBOX_IN_FLIGHT" | "RELAY_SHARDS_IN_FLIGHT" | "CONSUMER_PARTITIONS") =>
      whole(environment, name, 1, PARALLEL_MAX);
    const items = (name: "MAILBOX_BATCH_MAX" | "RELAY_BATCH_MAX" | "CONSUMER_BATCH_MAX" | "WORKER_TIMERS_MAX" | "WORKER_HOLDS_MAX") =>
      whole(environment, name, 1, ITEMS_MAX);
    return {
      poolSize: valueOf(environment, "SAGA_PG_POOL_SIZE") === "" ? null : yield* whole(environment, "SAGA_PG_POOL_SIZE", 1, POOL_MAX),
      mailbox: {
        capacity: yield* whole(environment, "MAILBOX_CAPACITY", 1, CAPACITY_MAX),
        batchMax: yield* items("MAILBOX_BATCH_MAX"),
        inFlightMax: yield* parallel("MAILBOX_IN_FLIGHT"),
      },
      relay: { shardsInFlight: yield* parallel("RELAY_SHARDS_IN_FLIGHT"), batchMax: yield* items("RELAY_BATCH_MAX") },
      consumer: { partitions: yield* parallel("CONSUMER_PARTITIONS"), batchMax: yield* items("CONSUMER_BATCH_MAX") },
      worker: { timersMax: yield* items("WORKER_TIMERS_MAX"), holdsMax: yield* items("WORKER_HOLDS_MAX") },
    };
  });
