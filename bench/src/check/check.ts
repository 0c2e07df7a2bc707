/**
 * `check`: how long `Saga.check` takes for the checkout saga, every state explored, in a process of its own each time.
 *
 * - `checks_per_second`: one divided by the seconds of one check; above 1 it takes less than a second. Below 1 is a violation,
 *   and so is a check that fails.
 */
import * as Contender from "../Contender.ts";
import type { Report } from "../Report.ts";
import { median } from "../Report.ts";
import { type Options, reportOf } from "../Rounds.ts";

/** An odd number of rounds has a median that was measured. */
const ROUNDS = { full: 15, quick: 5 };

/** What is promised: one check takes no longer, in seconds. */
const SECONDS_MAX = 1;

const NOWHERE = "";

export const run = async ({ quick, say }: Options): Promise<Report> => {
  const seconds: Array<number> = [];
  const counts = { states: new Set<number>(), transitions: new Set<number>() };
  for (let round = 1; round <= (quick ? ROUNDS.quick : ROUNDS.full); round++) {
    const contender = await Contender.start("./check/ours.main.ts", NOWHERE);
    try {
      const answer = await contender.ask("check");
      seconds.push(answer["seconds"] ?? Number.NaN);
      counts.states.add(answer["states"] ?? Number.NaN);
      counts.transitions.add(answer["transitions"] ?? Number.NaN);
    } finally {
      contender.stop();
    }
    say(`round ${round}: ${seconds.at(-1)?.toFixed(3)} s, ${[...counts.states].join("/")} states`);
  }
  const isSame = counts.states.size === 1 && counts.transitions.size === 1;
  return reportOf(
    "check",
    { checks_per_second: seconds.map((each) => 1 / each) },
    {
      milliseconds: seconds.map((each) => Math.round(each * 1_000)),
      states: [...counts.states],
      transitions: [...counts.transitions],
    },
    isSame && median(seconds) < SECONDS_MAX ? 0 : 1,
  );
};
