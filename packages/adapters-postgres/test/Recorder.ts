/**
 * A broker that is a list: whatever relay processes send over TCP is written down in the order of its arrival, and
 * acknowledged after a while. It lets a test act at the worst moment: a piece was sent, and its sender waits for the answer.
 *
 * A publish is `begin`, then pieces of a few messages, each acknowledged before the next one is sent.
 */
import { createServer, type Server, type Socket } from "node:net";
import { createInterface } from "node:readline";
import { Schema } from "effect";

export const Line = Schema.Struct({
  at: Schema.Literals(["begin", "piece"]),
  pid: Schema.Int,
  messages: Schema.Array(Schema.Struct({ id: Schema.String, key: Schema.String, n: Schema.Int })),
});
export type Line = typeof Line.Type;

export interface Entry {
  readonly pid: number;
  readonly id: string;
  readonly key: string;
  readonly n: number;
}

export const ACK = "ok";

export interface Recorder {
  readonly port: number;
  readonly log: ReadonlyArray<Entry>;
  /** Called before a line is acknowledged. */
  onLine: (line: Line) => void;
  readonly close: () => Promise<void>;
}

const decode = Schema.decodeUnknownSync(Schema.fromJsonString(Line));

export const start = async (ackMillis: number): Promise<Recorder> => {
  const log: Array<Entry> = [];
  const sockets = new Set<Socket>();
  const recorder = { onLine: (_: Line): void => undefined };
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
    socket.on("close", () => sockets.delete(socket));
    const lines = createInterface({ input: socket });
    lines.on("error", () => undefined);
    lines.on("line", (text) => {
      const line = decode(text);
      if (line.at === "piece") for (const message of line.messages) log.push({ pid: line.pid, ...message });
      recorder.onLine(line);
      setTimeout(() => socket.write(`${ACK}\n`), ackMillis);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return Object.assign(recorder, {
    port: address.port,
    log,
    close: () =>
      new Promise<void>((resolve) => {
        for (const socket of sockets) socket.destroy();
        server.close(() => resolve());
      }),
  });
};

/** What is wrong with a log: keys whose first occurrences are out of order, and messages that never came. */
export const problems = (log: ReadonlyArray<Entry>, counts: ReadonlyMap<string, number>): ReadonlyArray<string> => {
  const found: Array<string> = [];
  const latest = new Map<string, number>();
  const seen = new Set<string>();
  for (const { key, n } of log) {
    if (seen.has(`${key}/${n}`)) continue;
    seen.add(`${key}/${n}`);
    const before = latest.get(key) ?? -1;
    if (n !== before + 1) found.push(`${key}: ${n} after ${before}`);
    latest.set(key, Math.max(before, n));
  }
  for (const [key, count] of counts) {
    for (let n = 0; n < count; n += 1) if (!seen.has(`${key}/${n}`)) found.push(`${key}: ${n} is lost`);
  }
  return found;
};
