/** A TCP proxy that knows a statement when it sees one: to lose it, or its answer, exactly there. */
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";

/**
 * - `request`: the statement never reaches the server; both connections break.
 * - `answer`: the server answers the statement, then the client's connection breaks.
 * - `client`: the statement is held back and the client's connection breaks; the server notices nothing until `let go`.
 * - `everything`: as `answer`, and from then on nobody is there any more.
 */
export type Loss = "request" | "answer" | "client" | "everything";

export interface Rule {
  /** Part of the statement. */
  readonly on: string;
  readonly loses: Loss;
  /** Runs before the client's connection breaks: the statement was answered, or held back. */
  readonly meanwhile?: () => Promise<void>;
}

export interface CommitProxy {
  readonly url: string;
  /** What is lost next; each rule once. A rule waits for those before it. */
  readonly plan: (...rules: ReadonlyArray<Rule>) => void;
  /** How many rules have been carried out. */
  readonly lost: () => number;
  /** What `client` held back reaches the server now, or never will. */
  readonly letGo: (how: "deliver" | "drop") => void;
  readonly stop: () => Promise<void>;
}

/** The simple query that `PoolDriver` ends a transaction with. */
export const COMMIT = "commit\0";

/** Decides for every statement of that kind. */
export type Decide = (chunk: Buffer) => Rule | null;

export const start = async (serverUrl: string, decide: Decide = () => null): Promise<CommitProxy> => {
  const target = new URL(serverUrl);
  const sockets = new Set<Socket>();
  const held = new Set<{ readonly upstream: Socket; readonly chunk: Buffer }>();
  const rules: Array<Rule> = [];
  let lost = 0;
  let isGone = false;

  const ruleFor = (chunk: Buffer): Rule | null => {
    const [next] = rules;
    if (next === undefined || !chunk.includes(next.on)) return decide(chunk);
    rules.shift();
    return next;
  };

  // Small packets both ways: held back for an acknowledgement, each would take 40 ms.
  const server = createServer({ noDelay: true }, (client) => {
    if (isGone) {
      client.resetAndDestroy();
      return;
    }
    const upstream = connect({ host: target.hostname, port: Number(target.port || 5432), noDelay: true });
    let losing: Rule | null = null;
    const breakClient = async (rule: Rule): Promise<void> => {
      await rule.meanwhile?.();
      lost += 1;
      client.resetAndDestroy();
    };
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on("error", () => undefined);
    }
    client.on("close", () => {
      sockets.delete(client);
      if (losing?.loses !== "client") upstream.destroy();
    });
    upstream.on("close", () => {
      sockets.delete(upstream);
      // A rule at work breaks the connection itself, unless the server went without an answer.
      if (losing === null || losing.loses === "answer" || losing.loses === "everything") client.destroy();
    });
    client.on("data", (chunk) => {
      const rule = losing === null ? ruleFor(chunk) : null;
      if (rule === null) {
        if (losing === null) upstream.write(chunk);
        return;
      }
      losing = rule;
      if (rule.loses === "answer" || rule.loses === "everything") {
        upstream.write(chunk);
        return;
      }
      if (rule.loses === "client") held.add({ upstream, chunk });
      void breakClient(rule);
    });
    upstream.on("data", (chunk) => {
      const rule = losing;
      if (rule === null) client.write(chunk);
      else if (rule.loses === "answer" || rule.loses === "everything") {
        isGone ||= rule.loses === "everything";
        losing = { ...rule, loses: "request" };
        void breakClient(rule);
      }
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
    plan: (...next) => {
      rules.push(...next);
    },
    lost: () => lost,
    letGo: (how) => {
      for (const { upstream, chunk } of held) {
        if (how === "deliver") upstream.end(chunk);
        else upstream.resetAndDestroy();
      }
      held.clear();
    },
    stop: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
};
