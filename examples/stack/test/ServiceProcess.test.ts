import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "@tools/servers";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { ServiceProcess } from "../src/ServiceProcess.ts";

/** The catalogue needs no servers. */
const SERVICE = "catalog";

describe("a service's process", { timeout: 60_000 }, () => {
  let folder: string;
  let url: string;
  let env: Readonly<Record<string, string>>;
  let service: ServiceProcess;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "saga-process-"));
    const port = await freePort();
    url = `http://127.0.0.1:${port}`;
    env = { CATALOG_PORT: String(port) };
  });

  afterEach(() => service.kill());
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it("starts once, is ready, ends with 0 when it is asked to, and starts again after a kill", async () => {
    const guarded: Array<string> = [];
    const guard = (pid: number) => {
      guarded.push(`start ${pid}`);
      return () => void guarded.push(`end ${pid}`);
    };
    service = new ServiceProcess({ service: SERVICE, env, url, logFile: null, guard });
    expect([service.isRunning, service.pid, await service.stop()]).toEqual([false, undefined, null]);

    service.start();
    const first = service.pid;
    service.start();
    expect(service.pid).toBe(first);
    await service.ready();
    await service.kill();
    expect(service.isRunning).toBe(false);

    service.start();
    const second = service.pid;
    await service.ready();
    expect(await service.stop()).toBe(0);
    expect(service.isRunning).toBe(false);
    expect(guarded).toEqual([`start ${first}`, `end ${first}`, `start ${second}`, `end ${second}`]);
  });

  it("says where to look when it ends before it is ready", async () => {
    const logFile = join(folder, "bad.log");
    service = new ServiceProcess({ service: SERVICE, env: { ...env, ROLES: "boss" }, url, logFile });
    service.start();
    await expect(service.ready()).rejects.toThrow(`ended before it was ready: see ${logFile}`);
    expect(await readFile(logFile, "utf8")).toContain("ROLES");
  });

  it("refuses a pool that is smaller than what its roles can hold at once, and shows the sum", async () => {
    const logFile = join(folder, "pool.log");
    const settings = { SAGA_PG_URL: "postgres://127.0.0.1:1/none", SAGA_KAFKA_BROKERS: "127.0.0.1:1", SAGA_PG_POOL_SIZE: "3" };
    service = new ServiceProcess({ service: "order", env: { ...settings, ROLES: "relay" }, url, logFile });
    service.start();
    await expect(service.ready()).rejects.toThrow(logFile);
    expect(await readFile(logFile, "utf8")).toMatch(
      /^SAGA_PG_POOL_SIZE is 3, but order can hold 7 connections at once: .* \(RELAY_SHARDS_IN_FLIGHT\)/m,
    );
  });

  it("is not waited for without end", async () => {
    service = new ServiceProcess({ service: SERVICE, env, url, logFile: null });
    service.start();
    await expect(service.ready(1)).rejects.toThrow("not ready within 1 ms");
  });
});
