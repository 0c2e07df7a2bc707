/**
 * `saga check`: explores every saga that a module exports, and prints what was found, and how long it took. Needs no server.
 *
 * The module is run to read its exports: a file of sagas should declare them, and do nothing else.
 */
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { Saga, SagaCheck } from "@org/saga-core";
import { Clock, Effect, Result } from "effect";
import { Argument, Command, Flag } from "effect/cli";
import * as CliFailure from "./CliFailure.ts";
import * as Flags from "./Flags.ts";
import * as Output from "./Output.ts";

const bound = (name: string, meaning: string, byDefault: number): Flag.Flag<number> =>
  Flag.Int(name).pipe(
    Flag.withDescription(`${meaning}. Default: ${byDefault}`),
    Flag.withDefault(byDefault),
    Flag.filter(
      (value) => value >= 1,
      () => "must be at least 1",
    ),
  );

export const command = Command.make(
  "check",
  {
    module: Argument.String("module").pipe(Argument.withDescription("A file that exports sagas, e.g. src/sagas.ts")),
    states: bound("states", "States of a saga that are visited before the check fails", SagaCheck.STATES_MAX),
    rounds: bound("rounds", "Rounds that a step is given at most, whatever it declares", SagaCheck.ROUNDS_MAX),
    json: Flags.json,
  },
  (flags) => check(flags),
).pipe(Command.withDescription("Prove that the sagas of a module end well, whatever is lost, late, repeated or refused"));

interface Checking {
  readonly module: string;
  readonly states: number;
  readonly rounds: number;
  readonly json: boolean;
}

const check = Effect.fn("Check.run")(function* ({ module, states, rounds, json }: Checking) {
  const exported = Object.values(yield* load(module));
  const draft = exported.find(isDraft);
  if (draft !== undefined) {
    return yield* CliFailure.failed(
      `saga "${draft.name}" has no pivot, so it is not checked: declare its point of no return with Saga.pivot, or do not export it`,
    );
  }
  const sagas = exported.filter(isSaga);
  if (sagas.length === 0) return yield* CliFailure.usage(`${module} exports no saga: export what Saga.make(…).pipe(…) returns`);
  const explored = yield* Effect.forEach(sagas, (saga) => timed(() => Saga.explore(saga, { states, rounds })));
  yield* Output.data(
    json,
    explored.map(({ found, millis }) => ({ ...(Result.isSuccess(found) ? { _tag: "Proved", ...found.success } : found.failure), millis })),
    explored.map(({ found, millis }) => `${textOf(found)}\n\nIt took ${millis} ms.`).join("\n\n"),
  );
  const failed = explored.filter(({ found }) => Result.isFailure(found)).length;
  if (failed > 0) return yield* CliFailure.failed(`${failed} of ${sagas.length} sagas did not pass`);
});

const timed = Effect.fnUntraced(function* <A>(explore: () => A) {
  const start = yield* Clock.currentTimeMillis;
  const found = explore();
  return { found, millis: (yield* Clock.currentTimeMillis) - start };
});

const textOf = (found: ReturnType<typeof Saga.explore>): string =>
  Result.isSuccess(found) ? SagaCheck.reportText(found.success) : SagaCheck.failureText(found.failure);

const load = (module: string): Effect.Effect<Readonly<Record<string, unknown>>, CliFailure.CliFailure> =>
  Effect.tryPromise({
    try: (): Promise<Readonly<Record<string, unknown>>> => import(pathToFileURL(resolve(module)).href),
    catch: (error) => CliFailure.failed(`cannot load ${module}: ${error instanceof Error ? error.message : String(error)}`),
  });

/** Steps without a pivot: one was forgotten, and nobody should take it for proved. */
const isDraft = (value: unknown): value is Saga.Draft<unknown, unknown, "open"> =>
  typeof value === "object" &&
  value !== null &&
  "phase" in value &&
  value.phase === "open" &&
  "name" in value &&
  "steps" in value &&
  Array.isArray(value.steps) &&
  value.steps.length > 0;

/** A definition with its pivot, whichever copy of the library declared it. */
const isSaga = (value: unknown): value is Saga.Definition<unknown, unknown> =>
  typeof value === "object" &&
  value !== null &&
  "phase" in value &&
  value.phase === "pivoted" &&
  "steps" in value &&
  Array.isArray(value.steps);
