/**
 * A service as a process: runs its layers until a signal, drains, and ends with 0. A bad setting is one line on stderr and
 * exit code 2; any other failure to start is logged and ends with 1.
 */
import { NodeRuntime } from "@effect/platform-node";
import { type BusError, describeCause, Retention, type SagaStart } from "@org/saga-core";
import { Cause, Console, Effect, Exit, Layer, Option } from "effect";
import type { HttpServerError } from "effect/http";
import { load, type ServiceConfig, ServiceConfigError } from "./ServiceConfig.ts";

/** The exit code of a process that was started wrongly. */
export const USAGE = 2;

/** What keeps a service from starting. Each is told to people: none quotes a payload or a secret. */
export type StartError =
  | ServiceConfigError
  | BusError
  | SagaStart.Refusal
  | HttpServerError.ServeError
  | { readonly _tag: "PgMigrationError" | "KafkaError" | "RedisError"; readonly message: string };

/** Reads the settings, and runs what `service` makes of them until SIGINT or SIGTERM. */
export const run = <A, E extends StartError>(service: (config: ServiceConfig) => Layer.Layer<A, E>): void =>
  NodeRuntime.runMain(program(service), {
    disableErrorReporting: true,
    teardown: (exit, onExit) => onExit(exitCode(exit)),
  });

/** What `run` runs. */
export const program = <A, E extends StartError>(
  service: (config: ServiceConfig) => Layer.Layer<A, E>,
): Effect.Effect<never, E | ServiceConfigError> =>
  load.pipe(
    Effect.flatMap((config) => Layer.launch(Layer.provide(service(config), Layer.succeed(Retention.CurrentPolicy, config.retention)))),
    Effect.tapCause((cause) => {
      if (Cause.hasInterruptsOnly(cause)) return Effect.void;
      const isSetting = Cause.squash(cause) instanceof ServiceConfigError;
      return isSetting ? Console.error(why(cause)) : Effect.logFatal(`the service ended: ${why(cause)}`);
    }),
  );

/** Why it ended, for people. Of a defect, whose own text may quote a payload, its name and place. */
export const why = (cause: Cause.Cause<StartError>): string =>
  Option.match(Cause.findErrorOption(cause), { onNone: () => describeCause(cause), onSome: textOf });

const textOf = (error: StartError): string => {
  if (error._tag === "ServiceConfigError") return error.message;
  if (error._tag !== "ServeError") return `${error._tag}: ${error.message}`;
  return `it cannot listen: ${listenProblem(error.cause)}; HTTP_HOST and its port's variable, such as ORDER_PORT, say where`;
};

/** Node's words: they name the address. */
const listenProblem = (cause: unknown): string => (cause instanceof Error ? cause.message : "why is not known");

/** A signal is how a service is asked to end: that is success. */
export const exitCode = (exit: Exit.Exit<unknown, unknown>): number => {
  if (Exit.isSuccess(exit) || Cause.hasInterruptsOnly(exit.cause)) return 0;
  return Cause.squash(exit.cause) instanceof ServiceConfigError ? USAGE : 1;
};
