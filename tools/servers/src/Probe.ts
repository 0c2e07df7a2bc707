/** Asks a server the smallest question of its own protocol, without a client library. True: it answered as one that is ready. */
import { connect } from "node:net";

const ANSWER_TIMEOUT_MS = 2_000;

export interface Address {
  readonly host: string;
  readonly port: number;
}

export const probeRedis = (at: Address) => ask(at, Buffer.from("PING\r\n"), (answer) => answer.toString().startsWith("+PONG"));

/** A start-up packet; a server that is starting up or shutting down answers with an error (E) instead of a request to authenticate. */
export function probePostgres(at: Address): Promise<boolean> {
  const body = Buffer.from("\0\x03\0\0user\0postgres\0database\0postgres\0\0", "latin1");
  return ask(at, Buffer.concat([int32(body.length + 4), body]), (answer) => answer.toString("latin1", 0, 1) === "R");
}

/** ApiVersions, version 0. The answer repeats the correlation id, and has no error. */
export function probeKafka(at: Address): Promise<boolean> {
  const correlationId = 7;
  const header = Buffer.from([0, 18, 0, 0, 0, 0, 0, correlationId, 0xff, 0xff]);
  return ask(
    at,
    Buffer.concat([int32(header.length), header]),
    (answer) => answer.readInt32BE(4) === correlationId && answer.readInt16BE(8) === 0,
  );
}

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
}

/** Enough of an answer to judge each of them. */
const ANSWER_BYTES = 5;

function ask(at: Address, question: Buffer, isGood: (answer: Buffer) => boolean): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(at.port, at.host, () => socket.write(question));
    let answer = Buffer.alloc(0);
    const finish = (good: boolean) => {
      resolve(good);
      socket.destroy();
    };
    socket.setTimeout(ANSWER_TIMEOUT_MS, () => finish(false));
    socket.on("error", () => finish(false));
    socket.on("close", () => finish(false));
    socket.on("data", (chunk: Buffer) => {
      answer = Buffer.concat([answer, chunk]);
      if (answer.length < ANSWER_BYTES) return;
      try {
        finish(isGood(answer));
      } catch {
        // Too short to judge: more follows.
      }
    });
  });
}
