/**
 * The shop on real PostgreSQL, Redis and Kafka: every service a process of its own, in a database, under a topic prefix and
 * under a Redis prefix of this stack, so that several stacks live side by side on the same servers.
 *
 * The services may be started before their servers and in any order: they come up when their servers do. It starts and
 * stops services, not servers (see `stack.ts` and the end-to-end tests for those).
 */
import { once } from "node:events";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { ServiceConfig } from "@example/contracts";
import * as Provision from "./Provision.ts";
import { type Guard, ServiceProcess } from "./ServiceProcess.ts";

/** Where the three servers answer. */
export interface Addresses {
  readonly postgresUrl: string;
  readonly redisUrl: string;
  readonly kafkaBrokers: ReadonlyArray<string>;
}

export type Ports = Readonly<Record<ServiceConfig.ServiceName, number>>;

export interface Options {
  readonly servers: Addresses;
  /** Made if it is not there. */
  readonly database: string;
  /** Begins the names of topics and consumer groups, e.g. `staging.`; empty: none. */
  readonly topicPrefix: string;
  /** Begins every Redis key, e.g. `staging:`; empty: none. */
  readonly redisPrefix: string;
  readonly ports: Ports;
  /** One file a service; null: their output is dropped. */
  readonly logFolder: string | null;
  /** Settings of the services, see `.env.example`; they win over this stack's. */
  readonly env?: Partial<Record<ServiceConfig.VariableName, string>> | undefined;
  readonly guard?: Guard | undefined;
}

const HOST = "127.0.0.1";

/** How late the end of a service is noticed, in milliseconds. */
const WATCH_MS = 250;

/** Every service, what others call first: no more than a courtesy. */
export const SERVICES: ReadonlyArray<ServiceConfig.ServiceName> = [
  "payment-provider",
  "catalog",
  "inventory",
  "checkout",
  "fulfillment",
  "notification",
  "order",
];

export class RealStack {
  readonly postgresUrl: string;
  readonly urls: Readonly<Record<ServiceConfig.ServiceName, string>>;
  readonly processes: Readonly<Record<ServiceConfig.ServiceName, ServiceProcess>>;
  readonly options: Options;

  constructor(options: Options) {
    this.options = options;
    this.postgresUrl = Provision.databaseUrl(options.servers.postgresUrl, options.database);
    this.urls = perService((service) => `http://${HOST}:${options.ports[service]}`);
    const env = environment(options, this.postgresUrl, this.urls);
    this.processes = perService(
      (service) =>
        new ServiceProcess({
          service,
          env,
          url: this.urls[service],
          logFile: options.logFolder === null ? null : join(options.logFolder, `${service}.log`),
          guard: options.guard,
        }),
    );
  }

  /** Database, tables and topics. May be called again. */
  provision(): Promise<void> {
    const { servers, topicPrefix } = this.options;
    return Provision.provision({ postgresUrl: this.postgresUrl, kafkaBrokers: servers.kafkaBrokers, topicPrefix });
  }

  /** Starts what does not run, and waits for nothing. */
  start(): void {
    for (const service of SERVICES) this.processes[service].start();
  }

  /** When every service says so. */
  async ready(): Promise<void> {
    await Promise.all(SERVICES.map((service) => this.processes[service].ready()));
  }

  /** Fails as soon as a service that should run does not. */
  async watch(): Promise<never> {
    for (;;) {
      const ended = SERVICES.filter((service) => !this.processes[service].isRunning);
      if (ended.length > 0) throw new Error(`${ended.join(", ")} ended; see ${this.options.logFolder ?? "its log"}`);
      await sleep(WATCH_MS);
    }
  }

  /** Ends every service that runs, all at once. */
  async stop(): Promise<void> {
    await Promise.all(SERVICES.map((service) => this.processes[service].stop()));
  }
}

export const perService = <A>(of: (service: ServiceConfig.ServiceName) => A): Readonly<Record<ServiceConfig.ServiceName, A>> => ({
  order: of("order"),
  checkout: of("checkout"),
  inventory: of("inventory"),
  catalog: of("catalog"),
  fulfillment: of("fulfillment"),
  notification: of("notification"),
  "payment-provider": of("payment-provider"),
});

/** Services whose port somebody listens on already. */
export const taken = async (ports: Ports): Promise<ReadonlyArray<ServiceConfig.ServiceName>> => {
  const free = await Promise.all(SERVICES.map((service) => isFree(ports[service])));
  return SERVICES.filter((_, index) => free[index] !== true);
};

const isFree = async (port: number): Promise<boolean> => {
  const server = createServer().listen({ host: HOST, port, exclusive: true });
  // `once` fails with what the server says instead of "listening".
  const free = await once(server, "listening").then(
    () => true,
    () => false,
  );
  if (free) await new Promise((resolve) => server.close(resolve));
  return free;
};

/** The same for every service: each takes what is its own. */
const environment = (options: Options, postgresUrl: string, urls: RealStack["urls"]): Readonly<Record<string, string>> => {
  const { servers, topicPrefix, redisPrefix, ports, env } = options;
  const own: Partial<Record<ServiceConfig.VariableName, string>> = {
    SAGA_PG_URL: postgresUrl,
    SAGA_REDIS_URL: servers.redisUrl,
    SAGA_KAFKA_BROKERS: servers.kafkaBrokers.join(","),
    SAGA_TOPIC_PREFIX: topicPrefix,
    SAGA_REDIS_PREFIX: redisPrefix,
    HTTP_HOST: HOST,
    CATALOG_URL: urls.catalog,
    PAYMENT_PROVIDER_URL: urls["payment-provider"],
    PAYMENT_WEBHOOK_URL: `${urls.checkout}/api/v1/webhooks/payments`,
  };
  const listen = SERVICES.map((service) => [ServiceConfig.ports[service].variable, String(ports[service])] as const);
  return { ...own, ...Object.fromEntries(listen), ...env };
};
