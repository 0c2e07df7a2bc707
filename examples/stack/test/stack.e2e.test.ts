/** `npm run stack` as a person uses it. */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { rm } from "node:fs/promises";
import { createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { ServiceConfig } from "@example/contracts";
import { protect } from "@tools/servers";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import * as Provision from "../src/Provision.ts";
import { type Ports, SERVICES, taken } from "../src/RealStack.ts";
import * as TestStack from "./TestStack.ts";

const DEADLINE_MS = 120_000;
const POLL_MS = 50;

const MAIN = fileURLToPath(new URL("../src/stack.ts", import.meta.url));

/** A payment that is never answered is waited for as long as a demonstration can bear. */
const IMPATIENT = { PAYMENT_CALL_TIMEOUT_MS: "1000", PAYMENT_DEADLINE_MS: "2500" };

class Program {
  readonly child: ChildProcess;
  readonly ended: Promise<number | null>;
  output = "";

  constructor(args: ReadonlyArray<string>, env: NodeJS.ProcessEnv = {}) {
    this.child = spawn(process.execPath, [...process.execArgv, MAIN, ...args], {
      env: { ...process.env, ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const release = this.child.pid === undefined ? () => undefined : protect({ pid: this.child.pid, signal: "SIGTERM" });
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream?.on("data", (chunk: Buffer) => {
        this.output += chunk.toString();
      });
    }
    this.ended = once(this.child, "close").then(() => {
      release();
      return this.child.exitCode;
    });
  }

  /** Waits until it says `text`; fails with what it said if it ends before. */
  async says(text: string): Promise<void> {
    let isOver = false;
    void this.ended.then(() => {
      isOver = true;
    });
    while (!this.output.includes(text)) {
      if (isOver) throw new Error(`it ended without saying "${text}":\n${this.output}`);
      await sleep(POLL_MS);
    }
  }
}

const sh = async (command: string): Promise<string> => (await promisify(execFile)("sh", ["-c", command])).stdout;

describe("npm run stack", () => {
  it("explains itself, and refuses what it does not know", async () => {
    const help = new Program(["--help"]);
    const unknown = new Program(["--reel"]);
    const badSetting = new Program(["--real"], { ORDER_PORT: "many" });
    const other = createServer().listen(0, "127.0.0.1");
    await once(other, "listening");
    const address = other.address();
    const port = typeof address === "object" && address !== null ? String(address.port) : "";
    const takenPort = new Program(["--real"], { ORDER_PORT: port });
    expect([await help.ended, await unknown.ended, await badSetting.ended, await takenPort.ended]).toEqual([0, 2, 2, 1]);
    other.close();
    expect(help.output).toContain("Usage: npm run stack");
    expect(unknown.output).toContain("--reel");
    expect(badSetting.output).toContain("ORDER_PORT");
    expect(takenPort.output).toContain(`port ${port} of order is taken`);
  });
});

const servers = TestStack.addresses();

describe.runIf(servers !== null)("npm run stack -- --real", () => {
  const name = `saga-cli-${randomBytes(4).toString("hex")}`;
  const database = name.replaceAll("-", "_");
  let ports: Ports;
  let settings: NodeJS.ProcessEnv = {};
  let remove = async (): Promise<void> => undefined;

  afterAll(() => remove(), DEADLINE_MS);

  beforeAll(async () => {
    if (servers === null) return;
    ports = await TestStack.freePorts();
    const postgresUrl = Provision.databaseUrl(servers.postgresUrl, database);
    remove = () => TestStack.removeFrom(servers, { postgresUrl, topicPrefix: `${name}.`, redisPrefix: `${name}:` });
    settings = {
      SAGA_PG_URL: postgresUrl,
      SAGA_REDIS_URL: servers.redisUrl,
      SAGA_KAFKA_BROKERS: servers.kafkaBrokers.join(","),
      SAGA_TOPIC_PREFIX: `${name}.`,
      SAGA_REDIS_PREFIX: `${name}:`,
      ...IMPATIENT,
      ...Object.fromEntries(SERVICES.map((service) => [ServiceConfig.ports[service].variable, String(ports[service])])),
    };
  });

  it("shows the flows, serves, takes requests as they are printed, and ends with nothing left", { timeout: DEADLINE_MS }, async () => {
    const program = new Program(["--real"], settings);
    await program.says("Ctrl-C");
    expect(program.output).toContain("7 of 7 flows ended as they should");

    const commands = program.output.split("\n").filter((line) => line.startsWith("  curl "));
    expect(commands.length).toBeGreaterThanOrEqual(3);
    const answers = await Promise.all(commands.map(sh));
    expect(JSON.parse(answers[0] ?? "")).toMatchObject({ status: "created", items: [{ sku: "mug", quantity: 2 }] });
    expect(JSON.parse(answers[1] ?? "")).toMatchObject({ status: "finished" });
    expect(JSON.parse(answers[2] ?? "")).toMatchObject({ code: "too_late_to_cancel", status: 409 });

    const flows = new Program(["--flows", `http://127.0.0.1:${ports.order}`]);
    expect(await flows.ended, flows.output).toBe(0);
    expect(flows.output).toContain("7 of 7 flows ended as they should");

    program.child.kill("SIGINT");
    expect(await program.ended).toBe(0);
    expect(await taken(ports)).toEqual([]);
  });

  it("ends, with nothing left, when one of its services does", { timeout: DEADLINE_MS }, async () => {
    const program = new Program(["--real", "--once"], settings);
    await program.says("The flows of an order");
    const pid = /notification .*\(process (\d+)\)/.exec(program.output)?.[1];
    process.kill(Number(pid), "SIGKILL");
    expect(await program.ended).toBe(1);
    expect(program.output).toContain("notification ended; see ");
    expect(await taken(ports)).toEqual([]);
    await rm(/notification ended; see (\S+)/.exec(program.output)?.[1] ?? "", { recursive: true, force: true });
  });

  it("leaves nothing behind when it is killed", { timeout: DEADLINE_MS }, async () => {
    const program = new Program(["--real", "--once"], settings);
    await program.says("The flows of an order");
    program.child.kill("SIGKILL");
    await program.ended;
    while ((await taken(ports)).length > 0) await sleep(POLL_MS);
  });
});
