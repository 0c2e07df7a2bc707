/**
 * Who sees a checkout through: the order service as its coordinator, or every service by its own reactions. One definition
 * either way, and the same settings of it in all services.
 */
import {
  Checkout,
  type CommandHandler,
  ChoreographyService,
  type DeadLetters,
  type MessageBus,
  Saga,
  SagaStart,
  type SagaStore,
  Worker,
} from "@org/saga-core";
import { Duration, Effect, Layer, Schedule } from "effect";
import { type CheckoutTimes, optionsOf } from "./CheckoutTimes.ts";
import type { ServiceConfig } from "./ServiceConfig.ts";

export { optionsOf } from "./CheckoutTimes.ts";
export type { Topology } from "./ServiceConfig.ts";

export type Settings = CheckoutTimes & Pick<ServiceConfig, "topology">;

/** Its name in the choreography. */
export type Participant = Exclude<Parameters<ReturnType<typeof choreographyOf>["of"]>[0], "order">;

export const choreographyOf = (options: Partial<Checkout.Options>) => Saga.choreograph(Checkout.make(options), Checkout.distribution);

export type StartError = SagaStart.Refusal;

/** A check at start, which waits for its database. */
export const started = <R>(check: Effect.Effect<void, StartError, R>): Effect.Effect<void, StartError, R> =>
  Effect.retry(check, {
    while: (error) => error._tag === "StoreError" && error.isRetryable,
    schedule: Schedule.spaced(Duration.millis(Worker.PAUSE_MS)),
  });

type Ports = CommandHandler.Ports | SagaStore | DeadLetters | MessageBus;

/** What a participant does besides its own work; nothing under a coordinator. Does not start as `SagaStart` says. */
export const reactions = (
  participant: Participant,
  settings: Settings & Pick<ServiceConfig, "roles" | "concurrency">,
): Layer.Layer<never, StartError, Ports> => {
  const { mailbox, consumer, worker } = settings.concurrency;
  if (settings.topology === "orchestrated") return Layer.empty;
  const projection = choreographyOf(optionsOf(settings)).of(participant);
  const reacting = ChoreographyService.layer(projection, {
    roles: roles.filter((role) => settings.roles.has(role)),
    mailbox,
    batchMax: consumer.batchMax,
    timersMax: worker.timersMax,
  });
  return Layer.unwrap(Effect.as(started(SagaStart.checkProjection(projection)), reacting));
};

const roles = ["consumer", "worker"] as const;
