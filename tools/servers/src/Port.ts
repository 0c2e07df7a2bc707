/**
 * Free ports of 127.0.0.1.
 *
 * They lie below every system's ephemeral range: a client that reconnects in a loop to a stopped server's port would else be given
 * that very port as its own source, connect to itself, and keep the server from coming back.
 */
import { once } from "node:events";
import { createServer } from "node:net";

export const HOST = "127.0.0.1";

const PORT_MIN = 20_000;
const PORT_MAX = 32_000;
/** With that many tries in vain, ports are not what is missing. */
const TRIES_MAX = 200;

/** What this process was given already: a server may take a while until it listens. */
const given = new Set<number>();

export async function freePort(): Promise<number> {
  for (let tries = 0; tries < TRIES_MAX; tries++) {
    const port = PORT_MIN + Math.floor(Math.random() * (PORT_MAX - PORT_MIN));
    if (given.has(port) || !(await isFree(port))) continue;
    given.add(port);
    return port;
  }
  throw new Error(`No free port found on ${HOST} between ${PORT_MIN} and ${PORT_MAX}`);
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  try {
    server.listen({ host: HOST, port, exclusive: true });
    await once(server, "listening");
    return true;
  } catch {
    return false;
  } finally {
    if (server.listening) {
      server.close();
      await once(server, "close");
    }
  }
}
