/**
 * A service as a process: runs its layers until a signal, drains, and ends with 0. A bad setting is one line on stderr and
 * exit code 2; any other failure to start is logged and ends with 1.
 */
import { NodeRuntime } from "@effect/platform-node";
import { Retention } from "@org/saga-core";
import { Cause, Console, Effect, Exit, Layer } from "effect";
import { load, type ServiceConfig, ServiceConfigError } from "./ServiceConfig.ts";

/** The exit code of a process that was started wrongly. */
export const USAGE = 2;

/** Reads the settings, and runs what `service` makes of them until SIGINT or SIGTERM. */
export const run = <A, E>(service: (config: ServiceConfig) => Layer.Layer<A, E>): void =>
  NodeRuntime.runMain(program(service), {
    disableErrorReporting: true,
    teardown: (exit, onExit) => onExit(exitCode(exit)),
  });

/** What `run` runs. */
export const program = <A, E>(service: (config: ServiceConfig) => Layer.Layer<A, E>): Effect.Effect<never, E | ServiceConfigError> =>
  load.pipe(
    Effect.flatMap((config) => Layer.launch(Layer.provide(service(config), Layer.succeed(Retention.CurrentPolicy, config.retention)))),
    Effect.tapCause((cause) => {
      if (Cause.hasInterruptsOnly(cause)) return Effect.void;
      const error = Cause.squash(cause);
      return error instanceof ServiceConfigError ? Console.error(error.message) : Effect.logFatal("the service ended", cause);
    }),
  );

/** A signal is how a service is asked to end: that is success. */
export const exitCode = (exit: Exit.Exit<unknown, unknown>): number => {
  if (Exit.isSuccess(exit) || Cause.hasInterruptsOnly(exit.cause)) return 0;
  return Cause.squash(exit.cause) instanceof ServiceConfigError ? USAGE : 1;
};
