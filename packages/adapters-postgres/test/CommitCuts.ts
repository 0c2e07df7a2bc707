/** Load on a database whose COMMITs are cut at random, the same in every run. */
import * as CommitProxy from "./CommitProxy.ts";

const LOSSES: ReadonlyArray<CommitProxy.Loss> = ["request", "answer", "client"];

export interface Options {
  readonly seed: number;
  /** Of all COMMITs that are under way while it cuts, and of all `also`. */
  readonly rate: number;
  /** What was held back on the way is let go this often, delivered or dropped. */
  readonly letGoEveryMs: number;
  /** Part of another statement that is cut; it does not end a connection's work, so it is never held back. */
  readonly also?: string;
}

export interface CommitCuts {
  readonly url: string;
  /** Numbers in [0, 1). */
  readonly random: () => number;
  readonly cutting: (isOn: boolean) => void;
  readonly lost: () => number;
  readonly stop: () => Promise<void>;
}

/** Lehmer's. */
const randomOf = (seed: number) => {
  let state = seed;
  return (): number => (state = (state * 48_271) % 2_147_483_647) / 2_147_483_647;
};

export const start = async (serverUrl: string, { seed, rate, letGoEveryMs, also }: Options): Promise<CommitCuts> => {
  const random = randomOf(seed);
  const oneOf = (losses: ReadonlyArray<CommitProxy.Loss>): CommitProxy.Loss => losses[Math.floor(random() * losses.length)] ?? "answer";
  let isCutting = false;
  const proxy = await CommitProxy.start(serverUrl, (chunk) => {
    const isCommit = chunk.includes(CommitProxy.COMMIT);
    if (!isCutting || !(isCommit || (also !== undefined && chunk.includes(also))) || random() >= rate) return null;
    return isCommit ? { on: CommitProxy.COMMIT, loses: oneOf(LOSSES) } : { on: also ?? "", loses: oneOf(["answer", "request"]) };
  });
  const lettingGo = setInterval(() => proxy.letGo(random() < 0.5 ? "deliver" : "drop"), letGoEveryMs);
  return {
    url: proxy.url,
    random,
    cutting: (isOn) => void (isCutting = isOn),
    lost: proxy.lost,
    stop: async () => {
      clearInterval(lettingGo);
      await proxy.stop();
    },
  };
};
