/**
 * Relays as processes of their own, killed and frozen at the worst moments: another one takes over within seconds, nothing is
 * lost, and the first occurrences of a key's messages are never out of order, whatever a zombie does when it wakes up.
 */
import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { Outbox, UnitOfWork } from "@org/saga-core";
import { protect } from "@tools/servers";
import { realServer } from "@tools/servers/testing";
import { Effect, ManagedRuntime } from "effect";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import * as PgStores from "../src/PgStores.ts";
import * as Database from "./Database.ts";
import * as Recorder from "./Recorder.ts";
import { message } from "./Samples.ts";

const server = realServer("postgres");
const MAIN = fileURLToPath(new URL("relay.main.ts", import.meta.url));

/** How long the server bears a transaction that says nothing, in milliseconds: far above an acknowledgement. */
const IDLE_MS = 1_000;
const ACK_MS = 5;
const KEYS = Array.from({ length: 12 }, (_, index) => `key-${index}`);
const PATIENCE = { timeout: 40_000, interval: 50 };

describe.runIf(server !== null)("relay processes", () => {
  let database: Database.Database;
  let writer: ManagedRuntime.ManagedRuntime<PgStores.PgStores, unknown>;
  let recorder: Recorder.Recorder;
  let relays: Array<ChildProcess> = [];
  let schemas = 0;
  let schema = "";
  let counts = new Map<string, number>();

  beforeAll(async () => {
    database = await Database.create(server ?? "");
  });
  afterAll(() => database.drop());

  beforeEach(async () => {
    schema = `relays_${(schemas += 1)}`;
    writer = ManagedRuntime.make(PgStores.layer({ url: database.url, schema }));
    await writer.context();
    recorder = await Recorder.start(ACK_MS);
    counts = new Map();
  });
  afterEach(async () => {
    for (const relay of relays) relay.kill("SIGKILL");
    relays = [];
    await recorder.close();
    await writer.dispose();
  });

  const startRelay = (): ChildProcess => {
    const child = fork(MAIN, [database.url, schema, String(recorder.port), String(IDLE_MS)], { execArgv: ["--conditions=@org/source"] });
    relays.push(child);
    // One that is frozen would outlive this process.
    if (child.pid !== undefined) child.once("exit", protect({ pid: child.pid }));
    return child;
  };

  /** The next messages of each key, each key in a transaction of its own. */
  const append = (each: number): Promise<void> =>
    writer.runPromise(
      Effect.forEach(
        KEYS,
        (key) => {
          const from = counts.get(key) ?? 0;
          counts.set(key, from + each);
          const messages = Array.from({ length: each }, (_, index) => message(key, from + index));
          return Effect.flatMap(UnitOfWork, (unit) => unit.commit(Effect.flatMap(Outbox, (outbox) => outbox.append(messages))));
        },
        { concurrency: 4, discard: true },
      ),
    );

  const allPublished = () =>
    vi.waitFor(async () => {
      const { pending } = await writer.runPromise(Effect.flatMap(Outbox, (outbox) => outbox.backlog));
      expect(pending).toBe(0);
    }, PATIENCE);

  const isFrom = (relay: ChildProcess) => (line: Recorder.Line) => line.pid === relay.pid;

  /** Resolves after `act` was done at the first line that matches: before its sender has an answer. */
  const at = (matches: (line: Recorder.Line) => boolean, act: (line: Recorder.Line) => void): Promise<Recorder.Line> =>
    new Promise((resolve) => {
      recorder.onLine = (line) => {
        if (!matches(line)) return;
        recorder.onLine = () => undefined;
        act(line);
        resolve(line);
      };
    });

  it("killed in the middle of a publish, again and again: others go on, nothing is lost or out of order", async () => {
    const rounds = 5;
    startRelay();
    for (let round = 0; round < rounds; round += 1) {
      startRelay();
      const killed = at(
        (line) => line.at === "piece",
        ({ pid }) => void process.kill(pid, "SIGKILL"),
      );
      await append(20);
      await killed;
    }
    await append(5);
    await allPublished();
    expect(Recorder.problems(recorder.log, counts)).toEqual([]);
    // Each of those that were killed had sent something, and so has the one that is left.
    expect(new Set(recorder.log.map(({ pid }) => pid)).size).toBe(rounds + 1);
  });

  for (const moment of ["begin", "piece"] as const) {
    const when = moment === "begin" ? "before it sent anything" : "in the middle of a publish";
    it(`frozen ${when}: another one takes over, and the zombie only repeats what it had`, async () => {
      const zombie = startRelay();
      const frozen = at(
        (line) => isFrom(zombie)(line) && line.at === moment,
        () => void zombie.kill("SIGSTOP"),
      );
      await append(20);
      const { messages } = await frozen;
      const [held] = messages;
      if (held === undefined) throw new Error("an empty publish");
      const successor = startRelay();
      await append(10);
      // Taken over: what the frozen one had in hand is published, and newer ones of the key.
      await vi.waitFor(
        () => expect(recorder.log.filter(({ key, pid }) => pid === successor.pid && key === held.key)).toHaveLength(30),
        PATIENCE,
      );
      const before = recorder.log.length;
      zombie.kill("SIGCONT");
      await vi.waitFor(() => expect(recorder.log.slice(before).some(({ pid }) => pid === zombie.pid)).toBe(true), PATIENCE);
      await append(10);
      await allPublished();
      expect(Recorder.problems(recorder.log, counts)).toEqual([]);
      // It did publish again what was already there; and it works again.
      const published = recorder.log.slice(0, before).map(({ id }) => id);
      expect(recorder.log.slice(before).some(({ id, pid }) => pid === zombie.pid && published.includes(id))).toBe(true);
    });
  }

  it("the check itself finds an inversion and a loss", () => {
    const entry = (n: number): Recorder.Entry => ({ pid: 1, id: `${n}`, key: "k", n });
    expect(Recorder.problems([entry(0), entry(1), entry(0)], new Map([["k", 2]]))).toEqual([]);
    expect(Recorder.problems([entry(1), entry(0)], new Map([["k", 2]]))).not.toEqual([]);
    expect(Recorder.problems([entry(0)], new Map([["k", 2]]))).toEqual(["k: 1 is lost"]);
  });
});
