/** A TCP proxy for faults between a client and a server: silence, refusal, reset and latency. */
import { once } from "node:events";
import { createServer, type Server, Socket, connect } from "node:net";
import { HOST, freePort } from "./Port.ts";

export interface TcpProxy {
  readonly port: number;
  /** Nothing passes any more, in either direction; connections stay open, and new ones are accepted. Bytes are held, not lost. */
  readonly stall: () => void;
  /** Ends a stall or a refusal. */
  readonly resume: () => Promise<void>;
  /** Open connections are reset, new ones refused. */
  readonly refuse: () => Promise<void>;
  /** Open connections are reset; new ones work. */
  readonly reset: () => void;
  /** Delays each direction by that many milliseconds from now on; 0: none. Order is kept. */
  readonly latency: (millis: number) => void;
  readonly stop: () => Promise<void>;
}

export interface TcpProxyOptions {
  readonly target: { readonly host?: string | undefined; readonly port: number };
  readonly port?: number | undefined;
}

/** Bytes in flight in one direction, beyond which the sender is not read. */
const HELD_MAX_BYTES = 1024 * 1024;

export async function startTcpProxy(options: TcpProxyOptions): Promise<TcpProxy> {
  const port = options.port ?? (await freePort());
  const lanes = new Set<Lane>();
  const state: State = { stalled: false, delay: 0 };
  const accept = (client: Socket) => {
    const target = connect({ host: options.target.host ?? HOST, port: options.target.port, allowHalfOpen: true, noDelay: true });
    const pair = [new Lane(client, target, state), new Lane(target, client, state)];
    for (const lane of pair) lanes.add(lane);
    for (const [socket, other] of [
      [client, target],
      [target, client],
    ] as const) {
      socket.on("error", () => undefined);
      socket.on("close", (hadError) => {
        for (const lane of pair) lanes.delete(lane);
        if (hadError || !other.writableEnded) other.resetAndDestroy();
      });
    }
  };
  const reset = () => {
    for (const lane of lanes) lane.from.resetAndDestroy();
  };
  let server: Server | undefined = await listen(port, accept);
  const refuse = async () => {
    const closed = server === undefined ? undefined : once(server, "close");
    server?.close();
    server = undefined;
    reset();
    await closed;
  };
  return {
    port,
    stall: () => {
      state.stalled = true;
    },
    resume: async () => {
      state.stalled = false;
      for (const lane of lanes) lane.pump();
      server ??= await listen(port, accept);
    },
    refuse,
    reset,
    latency: (millis) => {
      state.delay = millis;
    },
    stop: refuse,
  };
}

interface State {
  stalled: boolean;
  /** Milliseconds. */
  delay: number;
}

/** One direction of one connection. */
class Lane {
  readonly from: Socket;
  readonly #to: Socket;
  readonly #state: State;
  /** `null` is the end. */
  readonly #held: { readonly due: number; readonly chunk: Buffer | null }[] = [];
  #heldBytes = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(from: Socket, to: Socket, state: State) {
    this.from = from;
    this.#to = to;
    this.#state = state;
    from.on("data", (chunk: Buffer) => this.#hold(chunk));
    from.on("end", () => this.#hold(null));
    from.on("close", () => clearTimeout(this.#timer));
    to.on("drain", () => this.pump());
  }

  #hold(chunk: Buffer | null): void {
    this.#held.push({ due: performance.now() + this.#state.delay, chunk });
    this.#heldBytes += chunk?.length ?? 0;
    if (this.#heldBytes > HELD_MAX_BYTES) this.from.pause();
    this.pump();
  }

  pump(): void {
    clearTimeout(this.#timer);
    for (;;) {
      const next = this.#held[0];
      if (next === undefined || this.#state.stalled || this.#to.writableNeedDrain) return;
      const wait = next.due - performance.now();
      if (wait > 0) {
        this.#timer = setTimeout(() => this.pump(), Math.ceil(wait));
        return;
      }
      this.#held.shift();
      this.#heldBytes -= next.chunk?.length ?? 0;
      if (next.chunk === null) this.#to.end();
      else this.#to.write(next.chunk);
      if (this.#heldBytes <= HELD_MAX_BYTES) this.from.resume();
    }
  }
}

async function listen(port: number, accept: (client: Socket) => void): Promise<Server> {
  const server = createServer({ allowHalfOpen: true, noDelay: true }, accept);
  server.listen(port, HOST);
  await once(server, "listening");
  return server;
}
