/** A contender: a process of its own, so that none disturbs another, asked over its channel; it works only while it is asked. */
import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { Numbers, Question, Reply } from "./Serve.ts";

export interface Contender {
  readonly ask: (command: string, input?: Numbers) => Promise<Numbers>;
  readonly stop: () => void;
}

/** Starts `file` (beside this one) on the database at `url` (and the Redis at `redisUrl`); resolves when it is ready. */
export const start = async (file: string, url: string, redisUrl = ""): Promise<Contender> => {
  const path = fileURLToPath(new URL(file, import.meta.url));
  const child = fork(path, { env: { ...process.env, BENCH_PG_URL: url, BENCH_REDIS_URL: redisUrl } });
  await next(child, file);
  return {
    ask: async (command, input = {}) => {
      const question: Question = { command, input };
      child.send(question);
      return next(child, `${file} ${command}`);
    },
    stop: () => void child.kill("SIGKILL"),
  };
};

const next = (child: ChildProcess, what: string): Promise<Numbers> =>
  new Promise((resolve, reject) => {
    const ended = (code: number | null): void => reject(new Error(`${what}: the process ended with ${code}`));
    child.once("exit", ended);
    child.once("message", (reply: Reply) => {
      child.off("exit", ended);
      if ("answer" in reply) resolve(reply.answer);
      else reject(new Error(`${what}: ${reply.problem}`));
    });
  });
