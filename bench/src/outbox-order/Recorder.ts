/**
 * A broker that is a list: what relay processes send over TCP, in the order of its arrival, acknowledged late. A publish is
 * pieces of a few messages, each acknowledged before the next one is sent, as a producer with one request in flight does it.
 */
import { createServer, type Socket } from "node:net";
import { createInterface } from "node:readline";

/** `key#n`, the n-th message of a key. */
export type Name = string;

export interface Recorder {
  readonly port: number;
  readonly log: ReadonlyArray<Name>;
  /** Called with the process that sent a piece, before it has an answer. */
  onPiece: (pid: number) => void;
  readonly close: () => Promise<void>;
}

export const start = async (ackMillis: number): Promise<Recorder> => {
  const log: Array<Name> = [];
  const sockets = new Set<Socket>();
  const recorder = { onPiece: (_: number): void => undefined };
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
    socket.on("close", () => sockets.delete(socket));
    const lines = createInterface({ input: socket });
    lines.on("error", () => undefined);
    lines.on("line", (line) => {
      const [pid, ...names] = line.split(" ");
      log.push(...names);
      recorder.onPiece(Number(pid));
      setTimeout(() => socket.write("ok\n"), ackMillis);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  const close = (): Promise<void> =>
    new Promise((resolve) => {
      for (const socket of sockets) socket.destroy();
      server.close(() => resolve());
    });
  return Object.assign(recorder, { port: address.port, log, close });
};

export interface Judged {
  readonly inversions: number;
  readonly lost: number;
  readonly duplicates: number;
}

/** Compares first occurrences with what was appended: `counts` messages of each key, numbered from 0. */
export const judge = (log: ReadonlyArray<Name>, counts: ReadonlyMap<string, number>): Judged => {
  const seen = new Set<Name>();
  const latest = new Map<string, number>();
  let inversions = 0;
  for (const name of log) {
    if (seen.has(name)) continue;
    seen.add(name);
    const [key = "", digits = ""] = name.split("#");
    const n = Number(digits);
    const before = latest.get(key) ?? -1;
    if (n < before) inversions += 1;
    latest.set(key, Math.max(before, n));
  }
  let appended = 0;
  let lost = 0;
  for (const [key, count] of counts) {
    appended += count;
    for (let n = 0; n < count; n += 1) if (!seen.has(`${key}#${n}`)) lost += 1;
  }
  // A phantom is as wrong as a loss.
  return { inversions, lost: lost + Math.max(0, seen.size - appended), duplicates: log.length - seen.size };
};
