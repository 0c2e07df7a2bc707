/**
 * `npm run stack`: the shop on real servers, every service a process of its own; see `StackCommand` for what it does. What
 * it started ends with it, however it ends: in order on Ctrl-C, and by the guard if it is killed.
 */
import { ServiceConfig } from "@example/contracts";
import { Print, type Report, runFlows } from "@example/scenarios";
import { ensureServers, protect, type Servers } from "@tools/servers";
import { Result } from "effect";
import * as Guide from "./Guide.ts";
import { RealStack, SERVICES, taken } from "./RealStack.ts";
import * as Session from "./Session.ts";
import * as StackCommand from "./StackCommand.ts";

const OK = 0;
const FAILED = 1;
const WRONG_USAGE = 2;
/** What shells say of a program that SIGINT ended: its flows were not all seen. */
const INTERRUPTED = 130;

/** The database that is made on servers that name none. */
const DATABASE = "saga";

const say = (line: string): void => {
  process.stdout.write(`${line}\n`);
};
const complain = (line: string): void => {
  process.stderr.write(`${line}\n`);
};

const main = async (argv: ReadonlyArray<string>): Promise<number> => {
  const command = StackCommand.parse(argv);
  switch (command._tag) {
    case "Help":
      process.stdout.write(StackCommand.USAGE);
      return OK;
    case "Usage":
      complain(`${command.problem}\n\n${StackCommand.USAGE}`);
      return WRONG_USAGE;
    case "Flows":
      return (await flows(command.url, null, flowsRun())).failed === 0 ? OK : FAILED;
    case "Real":
      return real(command);
  }
};

const flowsRun = (): string => `flows-${Date.now().toString(36)}`;

/** The flows, line by line; with the ledger and the books if it is known where they are. */
const flows = (url: string, stack: RealStack | null, run: string): Promise<Report> =>
  runFlows(url, {
    run,
    print: say,
    color: Print.wantsColor(process.stdout, process.env),
    ...(stack === null ? {} : { providerUrl: stack.urls["payment-provider"], inventoryUrl: stack.urls.inventory }),
  });

const real = async (command: Extract<StackCommand.StackCommand, { readonly _tag: "Real" }>): Promise<number> => {
  const config = ServiceConfig.parse(process.env);
  if (Result.isFailure(config)) {
    complain(config.failure.message);
    return WRONG_USAGE;
  }
  const session = new Session.Session((folder) => protect({ folder }));
  try {
    const code = await run(command, config.success, session);
    session.isWell = code === OK;
    return code;
  } catch (error) {
    if (error instanceof Session.Interrupted) {
      session.isWell = true;
      return command.once ? INTERRUPTED : OK;
    }
    complain(Session.messageOf(error));
    return FAILED;
  } finally {
    await session.end();
  }
};

const run = async (
  { once, logFolder }: Extract<StackCommand.StackCommand, { readonly _tag: "Real" }>,
  config: ServiceConfig.ServiceConfig,
  session: Session.Session,
): Promise<number> => {
  const busy = await taken(config.http.ports);
  if (busy.length > 0) throw new Error(busy.map(takenText(config)).join("\n"));
  const logs = await session.folder("logs", logFolder);
  say("Starting the servers that are missing ...");
  const starting = ensureServers(process.env);
  session.onEnd(() => starting.then((servers) => servers.stop()).catch(() => undefined));
  const servers = await session.untilAsked(starting);
  for (const line of serverLines(servers)) say(line);

  const stack = new RealStack({
    servers,
    database: databaseIn(servers),
    topicPrefix: config.topicPrefix,
    redisPrefix: config.redisPrefix,
    ports: config.http.ports,
    logFolder: logs,
    guard: (pid) => protect({ pid }),
  });
  session.onEnd(() => stack.stop());
  await session.untilAsked(stack.provision());
  stack.start();
  await session.untilAsked(stack.ready());
  for (const name of SERVICES) say(`  ${name.padEnd(17)} ${stack.urls[name]}  (process ${stack.processes[name].pid ?? "?"})`);

  say("\nThe flows of an order:");
  const id = flowsRun();
  const watch = stack.watch();
  const report = await session.untilAsked(Promise.race([flows(stack.urls.order, stack, id), watch]));
  if (once) return report.failed === 0 ? OK : FAILED;
  const others = SERVICES.filter((name) => name !== "order").map((name) => ({ name, url: stack.urls[name] }));
  for (const line of Guide.lines({ name: "order", url: stack.urls.order }, others, sampleOf(report, id))) say(line);
  for (const line of Guide.operating(settingsOf(stack, config.stockEngine))) say(line);
  say("\nServing. Ctrl-C ends it.");
  return session.untilAsked(watch);
};

const serverLines = ({ started, postgresUrl, redisUrl, kafkaBrokers }: Servers): ReadonlyArray<string> =>
  (
    [
      ["postgres", "PostgreSQL", new URL(postgresUrl).host],
      ["redis", "Redis", new URL(redisUrl).host],
      ["kafka", "Apache Kafka", kafkaBrokers.join(",")],
    ] as const
  ).map(([name, title, address]) => `  ${title.padEnd(17)} ${address}  (${started.includes(name) ? "started" : "was running"})`);

const takenText =
  (config: ServiceConfig.ServiceConfig) =>
  (service: ServiceConfig.ServiceName): string =>
    `port ${config.http.ports[service]} of ${service} is taken: end what listens there, or set ${ServiceConfig.ports[service].variable}`;

/** On a server of one's own, or where the address names only the server: a database of this project. */
const databaseIn = ({ started, postgresUrl }: Servers): string => {
  const named = decodeURIComponent(new URL(postgresUrl).pathname.slice(1));
  return started.includes("postgres") || named === "" ? DATABASE : named;
};

/** What finds this stack's data: Redis only where it has stock. */
const settingsOf = ({ postgresUrl, options }: RealStack, engine: ServiceConfig.StockEngine): Parameters<typeof Guide.operating>[0] => [
  ["SAGA_PG_URL", postgresUrl],
  ["SAGA_REDIS_URL", engine === "postgres" ? "" : options.servers.redisUrl],
  ["SAGA_REDIS_PREFIX", engine === "postgres" ? "" : options.redisPrefix],
  ["SAGA_KAFKA_BROKERS", options.servers.kafkaBrokers.join(",")],
  ["SAGA_TOPIC_PREFIX", options.topicPrefix],
];

/** The first flow's order stays as it is. */
const sampleOf = ({ results }: Report, runId: string): Guide.Sample | null => {
  const [first] = results;
  return first === undefined || first.orderId === null ? null : { orderId: first.orderId, customerId: `${runId}-${first.name}` };
};

process.exitCode = await main(process.argv.slice(2));
// What waits for nothing more (idle connections, timers) does not keep it.
process.exit();
