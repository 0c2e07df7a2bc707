/**
 * The broker of the services. Its addresses come from the environment, as those of the databases do.
 *
 * A service of its own, so that tests put a broker in memory in its place.
 */
import type { BusError } from "@org/saga-core";
import { Context, Effect, Layer } from "effect";
import * as CliFailure from "./CliFailure.ts";

export interface Topics {
  /** Those of `topics` that the broker has. */
  readonly existing: (topics: ReadonlyArray<string>) => Effect.Effect<ReadonlySet<string>, BusError>;
  /** Makes those of `topics` that the broker does not have. */
  readonly create: (topics: ReadonlyArray<string>) => Effect.Effect<void, BusError>;
  /** What a topic is called on this broker: its name behind the prefix of the environment. */
  readonly nameOf: (topic: string) => string;
}

export class Brokers extends Context.Service<
  Brokers,
  {
    /** Runs with the broker's topics, and disconnects. */
    readonly use: <A>(body: (topics: Topics) => Effect.Effect<A, BusError>) => Effect.Effect<A, BusError | CliFailure.CliFailure>;
  }
>()("@org/saga-cli/Brokers") {}

/** From `SAGA_KAFKA_BROKERS` and `SAGA_TOPIC_PREFIX`, read when a command needs them. */
export const layer: Layer.Layer<Brokers> = Layer.succeed(Brokers, {
  use: () => Effect.fail(CliFailure.failed("no broker can be reached by this version")),
});
