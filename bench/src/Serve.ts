/** The child's half of `Contender`: answers the parent's commands, one at a time, until the parent goes. */

export type Numbers = Readonly<Record<string, number>>;

/** What a contender can be asked to do. */
export type Commands = Readonly<Record<string, (input: Numbers) => Promise<Numbers>>>;

export type Question = { readonly command: string; readonly input: Numbers };
export type Reply = { readonly answer: Numbers } | { readonly problem: string };

/** Says that it is ready, then answers. */
export const serve = (commands: Commands): void => {
  process.on("message", (question: Question) => {
    const run = commands[question.command];
    const answered = run === undefined ? Promise.reject(new Error(`no command ${question.command}`)) : run(question.input);
    answered.then(
      (answer) => send({ answer }),
      (problem: unknown) => send({ problem: problem instanceof Error ? (problem.stack ?? problem.message) : String(problem) }),
    );
  });
  process.on("disconnect", () => process.exit(0));
  send({ answer: {} });
};

const send = (reply: Reply): void => void process.send?.(reply);

/** Calls `task` for `millis`, with `inFlight` calls at a time; returns how many ended, and in how many seconds. */
export const forAWhile = async (
  inFlight: number,
  millis: number,
  task: (n: number) => Promise<void>,
): Promise<{ readonly done: number; readonly seconds: number }> => {
  let begun = 0;
  const start = performance.now();
  const lane = async (): Promise<void> => {
    while (performance.now() - start < millis) await task(begun++);
  };
  await Promise.all(Array.from({ length: inFlight }, lane));
  return { done: begun, seconds: (performance.now() - start) / 1_000 };
};

/** Calls `task` `perSecond` times a second, evenly, for `millis`, whether or not the ones before have ended. */
export const evenly = async (perSecond: number, millis: number, task: (n: number) => Promise<void>): Promise<number> => {
  const start = performance.now();
  const running: Array<Promise<void>> = [];
  const count = Math.floor((millis / 1_000) * perSecond);
  for (let n = 0; n < count; n++) {
    const rest = start + (n / perSecond) * 1_000 - performance.now();
    if (rest > 0) await new Promise((resolve) => setTimeout(resolve, rest));
    running.push(task(n));
  }
  await Promise.all(running);
  return count;
};

/** Resolves when `isTrue`; looks every millisecond. Fails after `atMostMillis`. */
export const until = async (isTrue: () => boolean | Promise<boolean>, atMostMillis: number): Promise<void> => {
  const end = performance.now() + atMostMillis;
  while (!(await isTrue())) {
    if (performance.now() > end) throw new Error(`not done after ${atMostMillis} ms`);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
};

export const p50 = (values: ReadonlyArray<number>): number =>
  values.toSorted((left, right) => left - right)[values.length >> 1] ?? Number.NaN;
