import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Interrupted, messageOf, Session } from "../src/Session.ts";

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

describe("a session", () => {
  const before = new Map(SIGNALS.map((signal) => [signal, process.listeners(signal)]));
  let session: Session;
  let errors: string;

  beforeEach(() => {
    session = new Session();
    errors = "";
    vi.spyOn(process.stderr, "write").mockImplementation((text) => {
      errors += String(text);
      return true;
    });
  });

  afterEach(() => {
    vi.restoreAllMocks();
    for (const signal of SIGNALS) {
      for (const listener of process.listeners(signal)) if (!before.get(signal)?.includes(listener)) process.off(signal, listener);
    }
  });

  /** What a signal of the system would call of the session, and nothing else of this process. */
  const signal = (name: (typeof SIGNALS)[number]): void => {
    for (const listener of process.listeners(name)) if (!before.get(name)?.includes(listener)) listener(name);
  };

  it("ends what was begun, last first, and whatever cannot be ended keeps nothing else", async () => {
    const ended: Array<string> = [];
    session.onEnd(async () => ended.push("servers"));
    session.onEnd(() => Promise.reject(new Error("stuck")));
    session.onEnd(async () => ended.push("services"));
    await session.end();
    expect(ended).toEqual(["services", "servers"]);
    expect(errors).toContain("stuck");
  });

  it("hands on what its work comes to", async () => {
    expect(await session.untilAsked(Promise.resolve(7))).toBe(7);
    await expect(session.untilAsked(Promise.reject(new Error("no Kafka")))).rejects.toThrow("no Kafka");
  });

  it.each(SIGNALS)("ends its work on %s, also work that begins afterwards, and on each later one", async (name) => {
    const work = session.untilAsked(new Promise(() => undefined));
    signal(name);
    signal("SIGINT");
    await expect(work).rejects.toBeInstanceOf(Interrupted);
    await expect(session.untilAsked(new Promise(() => undefined))).rejects.toBeInstanceOf(Interrupted);
  });

  it("keeps a temporary folder only if something went wrong", async () => {
    session.isWell = true;
    const gone = await session.folder("logs", null);
    await session.end();
    expect(existsSync(gone)).toBe(false);

    const failed = new Session();
    const kept = await failed.folder("logs", null);
    await failed.end();
    expect(existsSync(kept)).toBe(true);
    expect(errors).toContain(kept);
    await rm(kept, { recursive: true });
  });

  it("keeps the folder that was asked for", async () => {
    const parent = await mkdtemp(join(tmpdir(), "saga-session-"));
    session.isWell = true;
    const folder = await session.folder("logs", join(parent, "of", "today"));
    await session.end();
    expect(folder).toBe(join(parent, "of", "today"));
    expect(existsSync(folder)).toBe(true);
    await rm(parent, { recursive: true });
  });

  it("says what went wrong, whatever was thrown", () => {
    expect([messageOf(new Error("late")), messageOf("odd")]).toEqual(["late", "odd"]);
  });
});
