/** What `npm run stack` was asked for. */
import { parseArgs } from "node:util";

export type StackCommand =
  | { readonly _tag: "Help" }
  | { readonly _tag: "Usage"; readonly problem: string }
  | { readonly _tag: "Flows"; readonly url: string }
  | { readonly _tag: "Real"; readonly once: boolean; readonly logFolder: string | null };

export const USAGE = `Usage: npm run stack -- --real [--once] [--keep-logs DIR]
       npm run stack -- --flows URL

The shop on real PostgreSQL, Redis and Kafka, every service a process of its own, and the flows of an order through it.

  --real            start it: servers that are missing (SAGA_PG_URL, SAGA_REDIS_URL and SAGA_KAFKA_BROKERS
                    name those that run already; .env.example has all settings), then the services; show
                    the flows; then keep serving until Ctrl-C
  --once            end after the flows, with 0 only if each ended as it should
  --keep-logs DIR   write the logs of the services to DIR, and leave them there
  --flows URL       only the flows, on a stack that runs already; URL is where its order service answers
  --help            this text

Exit codes: 0 all well, 1 not so, 2 wrong usage
`;

export const parse = (argv: ReadonlyArray<string>): StackCommand => {
  const found = read(argv);
  if (typeof found === "string") return { _tag: "Usage", problem: found };
  const { help = false, real = false, once = false, flows, "keep-logs": logFolder } = found;
  if (help) return { _tag: "Help" };
  if (flows !== undefined) return real || once || logFolder !== undefined ? usage("--flows goes alone") : flowsAt(flows);
  if (!real) return usage("say --real or --flows URL");
  if (logFolder === "") return usage("--keep-logs needs a folder");
  return { _tag: "Real", once, logFolder: logFolder ?? null };
};

const flowsAt = (url: string): StackCommand => {
  const isHttp = URL.canParse(url) && ["http:", "https:"].includes(new URL(url).protocol);
  return isHttp ? { _tag: "Flows", url: url.replace(/\/+$/, "") } : usage(`--flows needs a URL such as http://127.0.0.1:3000`);
};

const usage = (problem: string): StackCommand => ({ _tag: "Usage", problem });

/** The flags, or what is wrong with them. */
const read = (argv: ReadonlyArray<string>) => {
  try {
    return parseArgs({ args: [...argv], options, allowPositionals: false, strict: true }).values;
  } catch (error) {
    return error instanceof Error ? error.message : "the flags cannot be read";
  }
};

const options = {
  real: { type: "boolean" },
  once: { type: "boolean" },
  flows: { type: "string" },
  "keep-logs": { type: "string" },
  help: { type: "boolean", short: "h" },
} as const;
