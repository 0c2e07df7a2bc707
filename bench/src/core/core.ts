/**
 * `core`: what the pure core does in a process alone, without a database.
 *
 * - `transitions_vs_xstate`: transitions of an order per second, `Order.decide` and `Order.evolve` against XState's `transition` for a
 *   machine with the same statuses, guards and data. Both walk an order to each of its ends, from nothing; the ends are the same.
 * - `steps_vs_effect_workflow`: steps of a saga of four per second, in memory: `SagaDecider.transition`, each step done and
 *   answered, against the workflow engine that comes with Effect, in memory.
 * - `direct_vs_effect_workflow`: the same steps by `DirectSaga` on the stores in memory: with mailbox, commits, timers and history.
 */
import * as Contender from "../Contender.ts";
import * as Peers from "../Peers.ts";
import type { Report } from "../Report.ts";
import { type Options, ratio, reportOf, type Rounds } from "../Rounds.ts";
import type { Numbers } from "../Serve.ts";

const FILES = { ours: "./core/ours.main.ts", xstate: "../peers/xstate.mjs", workflow: "./core/workflow.main.ts" };
type File = keyof typeof FILES;

/** What is measured, and who does it. */
const CELLS = {
  transitions: { file: "ours", command: "transitions", inFlight: 1 },
  xstate: { file: "xstate", command: "transitions", inFlight: 1 },
  steps: { file: "ours", command: "steps", inFlight: 1 },
  direct: { file: "ours", command: "direct", inFlight: 64 },
  workflow: { file: "workflow", command: "steps", inFlight: 64 },
} as const satisfies Readonly<Record<string, { readonly file: File; readonly command: string; readonly inFlight: number }>>;
type Cell = keyof typeof CELLS;
const cells = Object.keys(CELLS) as ReadonlyArray<Cell>;

const NOWHERE = "";

/** An odd number of rounds has a median that was measured. */
const ROUNDS = { full: 9, quick: 5 };
const ROUND_MS = { full: 2_000, quick: 700 };

export const run = async ({ quick, say }: Options): Promise<Report> => {
  const size = quick ? "quick" : "full";
  await Peers.install(say);
  const started: Array<Contender.Contender> = [];
  try {
    const one = async (file: File): Promise<Contender.Contender> => {
      const contender = await Contender.start(FILES[file], NOWHERE);
      started.push(contender);
      return contender;
    };
    const contenders = { ours: await one("ours"), xstate: await one("xstate"), workflow: await one("workflow") };
    const rates: Rounds<Cell> = { transitions: [], xstate: [], steps: [], direct: [], workflow: [] };
    let violations = 0;
    // Round 0 warms up: code is compiled.
    for (let index = 0; index <= ROUNDS[size]; index++) {
      const answers = new Map<Cell, Numbers>();
      for (const cell of cells) {
        const { file, command, inFlight } = CELLS[cell];
        const answer = await contenders[file].ask(command, { millis: ROUND_MS[size], inFlight });
        answers.set(cell, answer);
        violations += answer["wrong"] ?? 1;
        const rate = (answer["done"] ?? Number.NaN) / (answer["seconds"] ?? Number.NaN);
        if (index > 0) rates[cell].push(rate);
      }
      // Both machines came to the same ends.
      if (answers.get("transitions")?.["digest"] !== answers.get("xstate")?.["digest"]) violations += 1;
      say(`round ${index}: ${cells.map((cell) => `${cell} ${rateOf(answers.get(cell))}/s`).join(" · ")}`);
    }
    return reportOf(
      "core",
      {
        transitions_vs_xstate: ratio(rates.transitions, rates.xstate),
        steps_vs_effect_workflow: ratio(rates.steps, rates.workflow),
        direct_vs_effect_workflow: ratio(rates.direct, rates.workflow),
      },
      {
        transitions_per_second: rates.transitions.map(Math.round),
        xstate_transitions_per_second: rates.xstate.map(Math.round),
        steps_per_second: rates.steps.map(Math.round),
        direct_steps_per_second: rates.direct.map(Math.round),
        effect_workflow_steps_per_second: rates.workflow.map(Math.round),
      },
      violations,
    );
  } finally {
    for (const each of started) each.stop();
  }
};

const rateOf = (answer: Numbers | undefined): number => Math.round((answer?.["done"] ?? Number.NaN) / (answer?.["seconds"] ?? Number.NaN));
