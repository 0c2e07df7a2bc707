/**
 * `npm start`: the shop on the embedded stack. Shows the seven flows of an order as they happen, then keeps serving until
 * Ctrl-C. `--once` ends after the flows, with 0 only if each ended as it should.
 */
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { NodeRuntime } from "@effect/platform-node";
import { ServiceConfig, ServiceMain } from "@example/contracts";
import { Flows, Print } from "@example/scenarios";
import { Cause, Console, Effect, Exit, Layer, Logger, References, Result } from "effect";
import { FetchHttpClient } from "effect/http";
import * as Embedded from "./Embedded.ts";
import * as Guide from "./Guide.ts";

const USAGE = `Usage: npm start [-- --once]

The shop in one process, with everything embedded and in memory: shows the flows of an order, then serves until Ctrl-C.

  --once   end after the flows, with 0 only if each ended as it should
  --help   this text
`;

/** A snapshot of an empty database, so that the next start is faster. It may be deleted. */
const SNAPSHOTS = fileURLToPath(new URL("../../../.cache/pglite", import.meta.url));

/**
 * With `--once`, payments are given up sooner than in a shop that serves, so that nobody waits long for the one that never
 * answers, and later on a busy machine, whose slowness is no silent provider: loading this program shows how busy it is. An
 * environment variable wins.
 */
const quick = (loadedMillis: number) => {
  const deadline = Math.ceil(Math.min(Math.max(2 * loadedMillis, 2_500), 20_000));
  return { PAYMENT_CALL_TIMEOUT_MS: `${Math.ceil(deadline / 3)}`, PAYMENT_DEADLINE_MS: `${deadline}` };
};

/** Begins the customers' names. */
const RUN = "demo";

const FAILED = 1;

const run = Effect.fn("main.run")(function* (once: boolean) {
  const parsed = ServiceConfig.parse(once ? { ...quick(performance.now()), ...process.env } : process.env);
  if (Result.isFailure(parsed)) return yield* parsed.failure;
  const config = parsed.success;
  yield* Console.log("Starting the shop: PostgreSQL embedded, messages in memory ...");
  const port = once ? 0 : config.http.ports.order;
  const { shopUrl, providerUrl } = yield* Embedded.start({ config, port, snapshots: SNAPSHOTS });
  const report = yield* Flows.run(shopUrl, {
    print: (line) => void process.stdout.write(`${line}\n`),
    color: Print.wantsColor(process.stdout, process.env),
    run: RUN,
    providerUrl,
    inventoryUrl: shopUrl,
  });
  if (once) return report.failed === 0 ? 0 : FAILED;
  const [happy] = report.results;
  const sample = happy === undefined || happy.orderId === null ? null : { orderId: happy.orderId, customerId: `${RUN}-${happy.name}` };
  for (const line of Guide.lines({ name: "shop", url: shopUrl }, [{ name: "payment provider", url: providerUrl }], sample)) {
    yield* Console.log(line);
  }
  yield* Console.log("\nServing. Ctrl-C ends it, and its data with it: all of it is in memory.");
  return yield* Effect.never;
});

const read = (): { readonly once: boolean; readonly help: boolean } | string => {
  try {
    const { values } = parseArgs({ options: { once: { type: "boolean" }, help: { type: "boolean", short: "h" } } });
    return { once: values.once ?? false, help: values.help ?? false };
  } catch (error) {
    return error instanceof Error ? error.message : "the flags cannot be read";
  }
};

const flags = read();
if (typeof flags === "string") {
  process.stderr.write(`${flags}\n\n${USAGE}`);
  process.exitCode = ServiceMain.USAGE;
} else if (flags.help) {
  process.stdout.write(USAGE);
} else {
  const quiet = Layer.mergeAll(Logger.layer([Logger.consolePretty()]), Layer.succeed(References.MinimumLogLevel, "Warn"));
  const program = Effect.scoped(run(flags.once)).pipe(
    Effect.provide(Layer.merge(FetchHttpClient.layer, quiet)),
    Effect.tapCause((cause) => (Cause.hasInterruptsOnly(cause) ? Effect.void : Console.error(ServiceMain.why(cause)))),
  );
  NodeRuntime.runMain(program, {
    disableErrorReporting: true,
    teardown: (exit, onExit) => {
      const code = Exit.isSuccess(exit) ? Number(exit.value) : ServiceMain.exitCode(exit);
      onExit(code);
      // What waits for nothing more (idle connections, timers) does not keep it.
      process.exit(code);
    },
  });
}
