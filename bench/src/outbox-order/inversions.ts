/**
 * `inversions`: four relay processes, a slow broker, concurrent writers; relays are killed (SIGKILL) and frozen until
 * others have taken over (SIGSTOP, then SIGCONT), each in the middle of a publish: a piece was sent, and has no answer yet. `violations` counts messages of a key that arrived first out of order,
 * and messages that never arrived. Duplicates are allowed, and told.
 */
import { type ChildProcess, fork } from "node:child_process";
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { type Message, Outbox, UnitOfWork } from "@org/saga-core";
import { PgStores } from "@org/saga-postgres";
import { protect, startPostgres } from "@tools/servers";
import { Effect, ManagedRuntime } from "effect";
import type { Report } from "../Report.ts";
import * as Recorder from "./Recorder.ts";

export interface Options {
  readonly quick: boolean;
  readonly say: (line: string) => void;
}

const SCHEMA = "inversions";
const RELAYS = 4;
const WRITERS = 8;
const KEYS_A_WRITER = 64;
/** Messages of one transaction, of several keys. */
const BATCH = 50;
const MESSAGES = { quick: 100_000, full: 400_000 };

/** The broker's delay, and the silence that the server bears, in milliseconds. */
const ACK_MS = 3;
const IDLE_MS = 1_000;

/** Between two attacks, in milliseconds: four relays that are started anew as often still get somewhere. */
const ATTACK_EVERY_MS = 1_000;
/** Long enough that others have taken the shards over, in milliseconds. */
const FROZEN_MS = 2_500;
/** Nobody waits forever for what was lost, in milliseconds. */
const PATIENCE_MS = 120_000;

export const run = async ({ quick, say }: Options): Promise<Report> => {
  const postgres = await startPostgres();
  const recorder = await Recorder.start(ACK_MS);
  const stores = ManagedRuntime.make(PgStores.layer({ url: postgres.url, schema: SCHEMA, poolSize: WRITERS + 2 }));
  const attackers = attackersOf(postgres.url, recorder);
  try {
    await stores.context();
    attackers.start();
    const began = performance.now();
    const counts = new Map<string, number>();
    const total = quick ? MESSAGES.quick : MESSAGES.full;
    await stores.runPromise(
      Effect.forEach(
        Array.from({ length: WRITERS }, (_, writer) => writer),
        (writer) => write(writer, total / WRITERS, counts),
        { concurrency: "unbounded", discard: true },
      ),
    );
    say(`${total} messages appended in ${seconds(began)} s; ${attackers.told()}`);
    await emptied(stores, began);
    await attackers.rest();
    await attackers.stop();
    const judged = Recorder.judge(recorder.log, counts);
    if (judged.duplicates === 0) throw new Error("no attack met a publish: nothing was measured");
    say(`published in ${seconds(began)} s: ${JSON.stringify(judged)}; ${attackers.told()}`);
    return {
      bench: "inversions",
      ratios: {},
      absolute: { messages: total, ...judged, ...attackers.counts(), seconds: Number(seconds(began)) },
      spread: {},
      violations: judged.inversions + judged.lost,
    };
  } finally {
    await attackers.stop();
    await stores.dispose();
    await recorder.close();
    await postgres.stop();
  }
};

const seconds = (began: number): string => ((performance.now() - began) / 1000).toFixed(1);

/** The next messages of its own keys, a few keys a transaction, until `count` are appended. */
const write = Effect.fnUntraced(function* (writer: number, count: number, counts: Map<string, number>) {
  const unit = yield* UnitOfWork;
  const outbox = yield* Outbox;
  for (let done = 0; done < count; done += BATCH) {
    const messages = Array.from({ length: BATCH }, () => {
      const key = `w${writer}-${Math.floor(Math.random() * KEYS_A_WRITER)}`;
      const n = counts.get(key) ?? 0;
      counts.set(key, n + 1);
      return messageOf(key, n);
    });
    yield* unit.commit(outbox.append(messages));
  }
});

const messageOf = (key: string, n: number): Message.Encoded => ({
  id: randomUUID(),
  type: "bench.happened.v1",
  topic: "bench.happened",
  key,
  occurredAt: Date.now(),
  correlationId: key,
  causationId: null,
  stepKey: null,
  saga: null,
  traceparent: null,
  tracestate: null,
  payload: `${n}`,
});

const emptied = async (stores: ManagedRuntime.ManagedRuntime<PgStores.PgStores, unknown>, began: number): Promise<void> => {
  const backlog = Effect.flatMap(Outbox, (outbox) => outbox.backlog);
  while ((await stores.runPromise(backlog)).pending > 0) {
    if (performance.now() - began > PATIENCE_MS) return;
    await sleep(100);
  }
};

/** The relays, and what is done to them. */
const attackersOf = (url: string, recorder: Recorder.Recorder) => {
  const file = fileURLToPath(new URL("relay.main.ts", import.meta.url));
  const relays = new Map<number, ChildProcess>();
  const frozen = new Map<ChildProcess, NodeJS.Timeout>();
  const done = { killed: 0, frozen: 0 };
  let isArmed = false;
  let timer: NodeJS.Timeout | undefined;
  const spawn = (): void => {
    const relay = fork(file, [url, SCHEMA, String(recorder.port), String(IDLE_MS)], { stdio: ["ignore", "ignore", "inherit", "ipc"] });
    if (relay.pid === undefined) throw new Error("no relay process could be started");
    relays.set(relay.pid, relay);
    // One that is frozen would outlive this process.
    relay.once("exit", protect({ pid: relay.pid }));
  };
  const thaw = (relay: ChildProcess): void => {
    clearTimeout(frozen.get(relay));
    frozen.delete(relay);
    relay.kill("SIGCONT");
  };
  const attack = (victim: ChildProcess): void => {
    isArmed = false;
    if (done.killed <= done.frozen) {
      done.killed += 1;
      victim.kill("SIGKILL");
      if (victim.pid !== undefined) relays.delete(victim.pid);
      spawn();
      return;
    }
    done.frozen += 1;
    victim.kill("SIGSTOP");
    frozen.set(
      victim,
      setTimeout(() => thaw(victim), FROZEN_MS),
    );
  };
  recorder.onPiece = (pid) => {
    const sender = relays.get(pid);
    // Half of them are left: somebody has to take over.
    if (isArmed && sender !== undefined && !frozen.has(sender) && frozen.size < RELAYS / 2) attack(sender);
  };
  return {
    counts: () => ({ ...done }),
    told: () => `${done.killed} killed, ${done.frozen} frozen`,
    start: (): void => {
      for (let index = 0; index < RELAYS; index += 1) spawn();
      timer = setInterval(() => {
        isArmed = true;
      }, ATTACK_EVERY_MS);
    },
    /** No more attacks; zombies wake up when their time has come, and send what they have in hand. */
    rest: async (): Promise<void> => {
      clearInterval(timer);
      isArmed = false;
      while (frozen.size > 0) await sleep(100);
      for (let before = -1; before !== recorder.log.length;) {
        before = recorder.log.length;
        await sleep(IDLE_MS);
      }
    },
    stop: async (): Promise<void> => {
      clearInterval(timer);
      for (const relay of frozen.keys()) thaw(relay);
      const ended = [...relays.values()].map((relay) => new Promise((resolve) => relay.once("exit", resolve)));
      for (const relay of relays.values()) relay.kill("SIGKILL");
      relays.clear();
      await Promise.all(ended);
    },
  };
};
