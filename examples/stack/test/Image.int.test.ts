/**
 * The image, without a container engine: the commands of the Dockerfile in a copy of the repository, then a service and the
 * command line started as it says. Only what a container adds (the user, the base image) is left to the workflow.
 */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { cp, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, delimiter, dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { freePort } from "@tools/servers";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
/** What .dockerignore keeps out, and what no clone has. */
const KEPT_OUT = new Set(["node_modules", "dist", ".git", ".cache", ".data", "coverage"]);
const INSTALL_WITHIN_MS = 180_000;
const READY_WITHIN_MS = 20_000;

const dockerfile = await readFile(join(ROOT, "deploy/Dockerfile"), "utf8");
const instructions = (word: string): ReadonlyArray<string> =>
  [...dockerfile.matchAll(new RegExp(`^${word} (.+)$`, "gm"))].map((found) => found[1] ?? "");

/** `ENV NAME=value` and `ENV NAME="value"`. */
const variables = Object.fromEntries(
  instructions("ENV").map((text) => {
    const [, name = "", value = ""] = /^([A-Z_]+)="?([^"]*)"?$/.exec(text) ?? [];
    return [name, value];
  }),
);
/** Package managers find their registry in the environment of whoever runs the tests; the test runner's own settings are not theirs. */
const { NODE_OPTIONS: _, VITEST: __, ...inherited } = process.env;
const NODE = { ...inherited, PATH: [dirname(process.execPath), process.env["PATH"]].join(delimiter) };

let app: string;
let service: ChildProcess | undefined;

beforeAll(async () => {
  app = await mkdtemp(join(tmpdir(), "saga-image-"));
  await cp(ROOT, app, { recursive: true, filter: (path) => !KEPT_OUT.has(basename(path)) });
  for (const command of instructions("RUN")) {
    await promisify(execFile)("sh", ["-c", command], { cwd: app, env: { ...NODE, NODE_ENV: variables["NODE_ENV"] } });
  }
}, INSTALL_WITHIN_MS);

afterAll(async () => {
  service?.kill("SIGKILL");
  await rm(app, { recursive: true, force: true });
});

const run = (args: ReadonlyArray<string>) => promisify(execFile)("node", args, { cwd: app, env: { ...NODE, ...variables } });

describe("the image", () => {
  test("installs for production, without what only developers need", () => {
    expect(variables["NODE_ENV"]).toBe("production");
    expect(instructions("RUN")).toHaveLength(2);
  });

  test("runs the command line", async () => {
    const { stdout } = await run(["packages/cli/src/bin.ts", "diagram", "order"]);
    expect(stdout).toContain("stateDiagram-v2");
  });

  test("runs a service, whose health check tells that it is ready", async () => {
    const port = await freePort();
    const probe = () =>
      run(["-e", `fetch('http://127.0.0.1:${port}/readyz').then((r) => process.exit(r.ok ? 0 : 1))`]).then(
        () => true,
        () => false,
      );
    expect(await probe()).toBe(false);
    service = spawn("node", ["examples/catalog/src/main.ts"], {
      cwd: app,
      env: { ...NODE, ...variables, HTTP_HOST: "127.0.0.1", CATALOG_PORT: String(port) },
      stdio: "ignore",
    });
    const deadline = Date.now() + READY_WITHIN_MS;
    while (!(await probe())) {
      if (Date.now() > deadline) throw new Error("the service was not ready in time");
      await sleep(200);
    }
  });
});
