/**
 * An HTTP/1.1 client for load: N keep-alive connections, each with one request in flight. It reads status and
 * Content-Length and nothing else, so that on a small machine the server gets most of the processor.
 */
import { connect, type Socket } from "node:net";
import { setTimeout } from "node:timers/promises";

export interface Target {
  readonly host: string;
  readonly port: number;
}

export interface Load {
  readonly target: Target;
  readonly connections: number;
  readonly durationMillis: number;
  /** Requests begun per second, evenly; latency counts from when one was due. Null: as fast as the answers come. */
  readonly perSecond: number | null;
  /** The bytes of the n-th request. */
  readonly request: (n: number) => Buffer;
  /** The status that counts as done. */
  readonly expect: number;
}

export interface Measured {
  readonly done: number;
  readonly wrong: number;
  readonly perSecond: number;
  readonly p50Millis: number;
  readonly p95Millis: number;
  readonly p99Millis: number;
}

/** Runs the load to its end; requests in flight then are awaited and counted. */
export const run = async (load: Load): Promise<Measured> => {
  const latencies: Array<number> = [];
  let sent = 0;
  let wrong = 0;
  const start = performance.now();
  const deadline = start + load.durationMillis;
  const connection = async (): Promise<void> => {
    const socket = await open(load.target);
    const respond = reader(socket);
    for (;;) {
      const n = sent++;
      const due = load.perSecond === null ? performance.now() : start + (n / load.perSecond) * 1_000;
      if (due >= deadline) break;
      await until(due);
      socket.write(load.request(n));
      const status = await respond();
      if (status === load.expect) latencies.push(performance.now() - due);
      else wrong += 1;
    }
    socket.destroy();
  };
  await Promise.all(Array.from({ length: load.connections }, connection));
  const seconds = (performance.now() - start) / 1_000;
  latencies.sort((left, right) => left - right);
  const quantile = (q: number): number => latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * q))] ?? 0;
  return {
    done: latencies.length,
    wrong,
    perSecond: latencies.length / seconds,
    p50Millis: quantile(0.5),
    p95Millis: quantile(0.95),
    p99Millis: quantile(0.99),
  };
};

/** A POST of JSON as bytes. */
export const post = (path: string, headers: Readonly<Record<string, string>>, body: string): Buffer =>
  Buffer.from(
    `POST ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n` +
      `${Object.entries(headers)
        .map(([name, value]) => `${name}: ${value}\r\n`)
        .join("")}\r\n${body}`,
  );

const until = async (moment: number): Promise<void> => {
  const rest = moment - performance.now();
  if (rest > 0) await setTimeout(rest);
};

const open = (target: Target): Promise<Socket> =>
  new Promise((resolve, reject) => {
    const socket = connect({ ...target, noDelay: true }, () => resolve(socket));
    socket.once("error", reject);
  });

const HEAD_END = Buffer.from("\r\n\r\n");

/** Reads one response at a time; rejects when the server closes the connection. */
const reader = (socket: Socket): (() => Promise<number>) => {
  let buffered = Buffer.alloc(0);
  let waiting: { readonly resolve: (status: number) => void; readonly reject: (error: Error) => void } | undefined;
  const take = (): void => {
    if (waiting === undefined) return;
    const end = buffered.indexOf(HEAD_END);
    if (end < 0) return;
    const head = buffered.toString("latin1", 0, end);
    const length = Number(/\r\ncontent-length: (\d+)/i.exec(head)?.[1] ?? Number.NaN);
    if (Number.isNaN(length)) return waiting.reject(new Error(`a response without Content-Length: ${head.split("\r\n", 1)[0] ?? ""}`));
    const total = end + HEAD_END.length + length;
    if (buffered.length < total) return;
    buffered = buffered.subarray(total);
    const { resolve } = waiting;
    waiting = undefined;
    resolve(Number(head.slice(9, 12)));
  };
  socket.on("data", (chunk) => {
    buffered = buffered.length === 0 ? chunk : Buffer.concat([buffered, chunk]);
    take();
  });
  const closed = (): void => waiting?.reject(new Error("the server closed the connection"));
  socket.on("error", closed);
  socket.on("close", closed);
  return () =>
    new Promise((resolve, reject) => {
      waiting = { resolve, reject };
      take();
    });
};
