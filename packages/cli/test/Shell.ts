/** Runs command lines in the test's own process, on an embedded database and a broker in memory. */
import { fileURLToPath } from "node:url";
import { NodeServices } from "@effect/platform-node";
import { BusError } from "@org/saga-core";
import { PgClient, PgliteInstance } from "@org/saga-postgres";
import { ConfigProvider, Console, Effect, Exit, Layer, Scope } from "effect";
import { Brokers } from "../src/Brokers.ts";
import * as Cli from "../src/Cli.ts";
import * as Databases from "../src/Databases.ts";

export interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export const VERSION = "1.2.3";

/** Milliseconds that a test on an embedded database may take beside others on a busy machine. */
export const SLOW_MS = 60_000;

/** Output, collected. What a program writes is what these two methods get. */
const recorder = (stdout: Array<string>, stderr: Array<string>): Console.Console => {
  const into =
    (lines: Array<string>) =>
    (...parts: ReadonlyArray<unknown>) => {
      lines.push(parts.map(String).join(" "));
    };
  return { ...console, log: into(stdout), error: into(stderr) };
};

export const runWith = async (
  services: Layer.Layer<Databases.Databases | Brokers>,
  args: ReadonlyArray<string>,
  env: Readonly<Record<string, string>> = {},
): Promise<Ran> => {
  const stdout: Array<string> = [];
  const stderr: Array<string> = [];
  const code = await Cli.run(args, VERSION).pipe(
    Effect.provide(Layer.merge(services, NodeServices.layer)),
    Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromEnv({ env })),
    Effect.provideService(Console.Console, recorder(stdout, stderr)),
    Effect.runPromise,
  );
  return { code, stdout: stdout.join("\n"), stderr: stderr.join("\n") };
};

/** A broker that only knows names of topics. */
export const memoryBrokers = (known: Set<string>, prefix = ""): Layer.Layer<Brokers> =>
  Layer.succeed(Brokers, {
    use: (body) =>
      body({
        existing: (topics) => Effect.sync(() => new Set(topics.filter((topic) => known.has(prefix + topic)))),
        create: (topics) => Effect.sync(() => topics.forEach((topic) => known.add(prefix + topic))),
        nameOf: (topic) => prefix + topic,
      }),
  });

export const deadBrokers = (reason: BusError["reason"]): Layer.Layer<Brokers> =>
  Layer.succeed(Brokers, {
    use: () => Effect.fail(new BusError({ reason, operation: "MessageBus.ensureTopics", message: "no broker answers" })),
  });

const SNAPSHOTS = fileURLToPath(new URL("../../../.cache/pglite", import.meta.url));

export interface Shell {
  readonly run: (args: ReadonlyArray<string>, env?: Readonly<Record<string, string>>) => Promise<Ran>;
  /** The client of a schema of the same database. */
  readonly client: (schema: string, tablePrefix?: string) => ReturnType<typeof PgClient.layerPglite>;
  readonly close: () => Promise<void>;
}

/** A shell on a database of its own. */
export const open = async (): Promise<Shell> => {
  const scope = Scope.makeUnsafe();
  const instance = await Effect.runPromise(Scope.provide(PgliteInstance.open({ snapshots: SNAPSHOTS }), scope));
  const client = (schema: string, tablePrefix?: string) => PgClient.layerPglite(instance, schema, tablePrefix);
  const databases = Layer.succeed(Databases.Databases, {
    client: (schema: string, tablePrefix: string) => Effect.succeed(client(schema, tablePrefix)),
  });
  const services = Layer.merge(databases, memoryBrokers(new Set()));
  return {
    run: (args, env) => runWith(services, args, env),
    client,
    close: () => Effect.runPromise(Scope.close(scope, Exit.void)),
  };
};
