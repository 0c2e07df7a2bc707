/** As much at a time as callers like. */
import { Effect, Result } from "effect";
import { expect, test } from "vitest";
import * as World from "./HybridWorld.ts";

/** More than a function takes arguments. */
const MANY = 200_000;

test("HybridStock answers each command of a call, however many it has", () =>
  Effect.gen(function* () {
    const { connect } = yield* World.make;
    const stock = yield* connect();
    const commands = Array.from({ length: MANY }, () => World.receive(1));
    const answers = yield* World.whilePassing(stock.execute([World.reserve("unknown"), ...commands, World.reserve("a")]));
    expect(answers.length).toBe(MANY + 2);
    expect([answers.at(0), answers.at(-1)].map((answer) => answer !== undefined && Result.isSuccess(answer))).toEqual([false, true]);
  }).pipe(World.run));
