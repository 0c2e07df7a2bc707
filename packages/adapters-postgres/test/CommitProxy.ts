/** A TCP proxy that speaks enough of PostgreSQL's protocol to lose a COMMIT, or its answer. */
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";

/**
 * - `nothing`: everything passes.
 * - `request`: COMMIT never reaches the server; the connection breaks.
 * - `answer`: COMMIT reaches the server; the connection breaks before its answer.
 * - `everything`: as `answer`, and from then on nobody is there any more.
 */
export type Loss = "nothing" | "request" | "answer" | "everything";

export interface CommitProxy {
  readonly url: string;
  loses: Loss;
  readonly stop: () => Promise<void>;
}

/** How long the server gets to carry out a COMMIT whose answer is lost. */
const COMMIT_TIME_MS = 200;

const COMMIT = Buffer.from("commit\0");

export const start = async (serverUrl: string): Promise<CommitProxy> => {
  const target = new URL(serverUrl);
  const sockets = new Set<Socket>();
  const state: { loses: Loss; isGone: boolean } = { loses: "nothing", isGone: false };
  const server = createServer((client) => {
    if (state.isGone) {
      client.resetAndDestroy();
      return;
    }
    const upstream = connect({ host: target.hostname, port: Number(target.port || 5432) });
    let isMute = false;
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on("error", () => undefined);
      socket.on("close", () => {
        sockets.delete(socket);
        client.destroy();
        upstream.destroy();
      });
    }
    client.on("data", (chunk) => {
      if (state.loses !== "nothing" && chunk.includes(COMMIT)) {
        isMute = true;
        if (state.loses === "request") {
          state.loses = "nothing";
          client.resetAndDestroy();
          return;
        }
        state.isGone = state.loses === "everything";
        state.loses = "nothing";
        setTimeout(() => client.resetAndDestroy(), COMMIT_TIME_MS);
      }
      upstream.write(chunk);
    });
    upstream.on("data", (chunk) => {
      if (!isMute) client.write(chunk);
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  const url = new URL(serverUrl);
  url.hostname = "127.0.0.1";
  url.port = String(address.port);
  return {
    url: url.href,
    get loses() {
      return state.loses;
    },
    set loses(loss) {
      state.loses = loss;
    },
    stop: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
};
