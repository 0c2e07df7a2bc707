/**
 * What the services need of their servers before they can work: a database, a schema each, the topics. Each part may be
 * repeated, also while services run. What is there already is left as it is.
 */
import { CheckoutMessages, MessageBus } from "@org/saga-core";
import { KafkaBus } from "@org/saga-kafka";
import { PgClient, PgConfig, PgError, PgMigrations, PoolDriver } from "@org/saga-postgres";
import { Effect } from "effect";

export interface Target {
  /** Names the database. */
  readonly postgresUrl: string;
  readonly kafkaBrokers: ReadonlyArray<string>;
  readonly topicPrefix: string;
}

/** One schema a service. */
export const SCHEMAS = ["order", "checkout", "inventory", "fulfillment", "notification", "provider"] as const;

/** The address of a database on the server of `serverUrl`. */
export const databaseUrl = (serverUrl: string, database: string): string => {
  const url = new URL(serverUrl);
  url.pathname = `/${database}`;
  return url.href;
};

export const provision = async (target: Target): Promise<void> => {
  await Promise.all([createDatabase(target.postgresUrl).then(() => migrate(target.postgresUrl)), createTopics(target)]);
};

/** Makes the database that `url` names, if it is missing. */
export const createDatabase = async (url: string): Promise<void> => {
  if (await exists(url)) return;
  await statement(maintenanceUrl(url), `create database ${nameIn(url)}`).catch((cause: unknown) => {
    // Another process was faster.
    if (PgError.sqlstateOf(cause) !== "42P04" && PgError.sqlstateOf(cause) !== "23505") throw cause;
  });
};

/** Drops it, with whoever is still connected to it. */
export const dropDatabase = async (url: string): Promise<void> => {
  await statement(maintenanceUrl(url), `drop database if exists ${nameIn(url)} with (force)`);
};

/** Brings every schema up to date. */
export const migrate = async (url: string): Promise<void> => {
  const up = (schema: string) => PgMigrations.up().pipe(Effect.provide(PgClient.layer({ url, schema, poolSize: 1 })));
  await Effect.runPromise(Effect.forEach(SCHEMAS, up, { concurrency: "unbounded", discard: true }));
};

const createTopics = ({ kafkaBrokers, topicPrefix }: Target): Promise<void> =>
  Effect.runPromise(
    Effect.flatMap(MessageBus, (bus) => bus.ensureTopics(CheckoutMessages.catalogue.topics)).pipe(
      Effect.provide(KafkaBus.layer({ brokers: kafkaBrokers, topicPrefix })),
    ),
  );

const exists = (url: string): Promise<boolean> =>
  statement(url, "select 1").then(
    () => true,
    (cause: unknown) => {
      if (PgError.sqlstateOf(cause) === "3D000") return false;
      throw cause;
    },
  );

/** Databases are made from within another one; this one is on every server. */
const maintenanceUrl = (url: string): string => databaseUrl(url, "postgres");

const nameIn = (url: string): string => `"${decodeURIComponent(new URL(url).pathname.slice(1)).replaceAll('"', '""')}"`;

const statement = async (url: string, text: string): Promise<void> => {
  const driver = PoolDriver.make(PgConfig.make({ url, poolSize: 1 }));
  try {
    await driver.query(text, []);
  } finally {
    await driver.close();
  }
};
