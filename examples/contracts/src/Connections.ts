/**
 * How many connections to PostgreSQL a process can hold at once: what its roles do at a time, added up. A smaller pool would
 * let one role starve another (a relay waits for the broker with its connections in hand, and no command commits), so
 * start-up refuses it.
 */
import { Effect } from "effect";
import { ServiceConfigError } from "./Environment.ts";
import type { Role, ServiceConfig, ServiceName } from "./ServiceConfig.ts";
import type { VariableName } from "./Variables.ts";

/** What of a service holds connections. */
export interface Shape {
  /** Commands are committed by a mailbox. */
  readonly mailbox: boolean;
  /** Each partition's batch is a transaction of its own (`Responder`). */
  readonly responds: boolean;
  /** Batches of stock commands in PostgreSQL at a time. */
  readonly stockBatches: number;
  /** Loops of its worker role: timers, sweeps. */
  readonly loops: number;
}

/** Something that holds connections while it works. */
export interface Holder {
  readonly what: string;
  readonly connections: number;
}

/** Reads of people and the readiness check: short, so more of them wait for each other. */
const READS = 2;

export type Settings = Pick<ServiceConfig, "roles" | "concurrency" | "topology">;

/** What can hold connections at once in a process with these roles. */
export const holders = ({ roles, concurrency }: Settings, shape: Shape): ReadonlyArray<Holder> => {
  const { mailbox, relay, consumer } = concurrency;
  const decides = roles.has("web") || roles.has("consumer") || roles.has("worker");
  return [
    { what: "reads over HTTP", connections: READS },
    ...when(shape.mailbox && decides, "batches of commands (MAILBOX_IN_FLIGHT)", mailbox.inFlightMax),
    ...when(shape.stockBatches > 0 && decides, "batches of stock commands", shape.stockBatches),
    ...when(shape.responds && roles.has("consumer"), "partitions (CONSUMER_PARTITIONS)", consumer.partitions),
    ...when(roles.has("relay"), "shards of the outbox (RELAY_SHARDS_IN_FLIGHT)", relay.shardsInFlight),
    ...when(roles.has("relay"), "count of the outbox", 1),
    ...when(roles.has("worker"), "timers and sweeps", shape.loops),
  ];
};

/** The size of the service's pool; refuses one that is too small, and shows the sum. */
export const poolSize = (settings: Settings, service: ServiceName, shape: Shape): Effect.Effect<number, ServiceConfigError> => {
  const all = [...holders(settings, shape), ...reacting(settings, service)];
  const needed = all.reduce((sum, { connections }) => sum + connections, 0);
  const given = settings.concurrency.poolSize ?? needed;
  return given >= needed ? Effect.succeed(given) : Effect.fail(tooSmall(given, needed, service, all, settings.roles));
};

/** Services that react to each other where nobody coordinates; the order service does so with its own mailbox. */
const REACTING: ReadonlySet<ServiceName> = new Set(["checkout", "inventory", "fulfillment"]);

const reacting = ({ topology, roles, concurrency }: Settings, service: ServiceName): ReadonlyArray<Holder> => {
  const reacts = topology === "choreographed" && REACTING.has(service);
  return [
    ...when(
      reacts && (roles.has("consumer") || roles.has("worker")),
      "batches of reactions (MAILBOX_IN_FLIGHT)",
      concurrency.mailbox.inFlightMax,
    ),
    ...when(reacts && roles.has("worker"), "timers of reactions", 1),
  ];
};

const VARIABLE: VariableName = "SAGA_PG_POOL_SIZE";

const tooSmall = (
  given: number,
  needed: number,
  service: ServiceName,
  all: ReadonlyArray<Holder>,
  roles: ReadonlySet<Role>,
): ServiceConfigError => {
  const sum = all.map(({ what, connections }) => `${connections} ${what}`).join(" + ");
  const fewer = roles.size > 1 ? ", or give each of its ROLES a process of its own" : "";
  return new ServiceConfigError({
    variable: VARIABLE,
    message: `${VARIABLE} is ${given}, but ${service} can hold ${needed} connections at once: ${sum}. Set at least ${needed} or remove it, lower what is added up${fewer}`,
  });
};

const when = (isSo: boolean, what: string, connections: number): ReadonlyArray<Holder> =>
  isSo && connections > 0 ? [{ what, connections }] : [];
