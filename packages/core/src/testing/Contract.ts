/**
 * Contract suites: what every adapter of a port has to prove, as data. A suite is a list of cases; a test of an adapter runs
 * each one with its layer, under the case's name:
 *
 *     for (const example of OutboxContract.cases) it(example.name, () => Effect.runPromise(Effect.provide(example.run, layer)))
 *
 * Rules of the house:
 * - A case uses keys of its own and does not assume that the store is empty. The cases of one database run one after another.
 * - A case waits through `Contract.Wait` only, a few hundred milliseconds at most, so that a test clock can stand in for time.
 * - A case with `needs: "twoConnections"` keeps a connection in use while it asks for another one. A database that has
 *   only one (PGlite) cannot run it and skips it.
 *
 * It depends on no test runner.
 */
import { Cause, Context, Data, Deferred, Effect, Equal, Exit, type Fiber, Formatter, Random } from "effect";
import { StoreError, type StoreReason } from "../ports/StoreError.ts";

export interface Case<R> {
  /** A sentence. */
  readonly name: string;
  /** What the adapter needs besides its port; nothing, if absent. */
  readonly needs?: "twoConnections";
  readonly run: Effect.Effect<void, unknown, R>;
}

/** The adapter does not keep the contract. */
export class Violation extends Data.TaggedError("ContractViolation")<{ readonly message: string }> {}

/** How a case lets time pass, in milliseconds. With a test clock: `TestClock.adjust`. */
export const Wait: Context.Reference<(millis: number) => Effect.Effect<void>> = Context.Reference<(millis: number) => Effect.Effect<void>>(
  "@org/saga-core/testing/Contract/Wait",
  { defaultValue: () => (millis) => Effect.sleep(millis) },
);

export const check = <R>(name: string, run: Effect.Effect<void, unknown, R>): Case<R> => ({ name, run });

export const checkWithTwoConnections = <R>(name: string, run: Effect.Effect<void, unknown, R>): Case<R> => ({
  name,
  needs: "twoConnections",
  run,
});

export const fail = (message: string): Effect.Effect<never, Violation> => Effect.fail(new Violation({ message }));

/** Deep equality of plain values. */
export const equal = (actual: unknown, expected: unknown, what = "answer"): Effect.Effect<void, Violation> =>
  Equal.equals(actual, expected) ? Effect.void : fail(`${what}: expected ${Formatter.format(expected)}, got ${Formatter.format(actual)}`);

export const isTrue = (condition: boolean, what: string): Effect.Effect<void, Violation> => (condition ? Effect.void : fail(what));

/** Lets `millis` pass. */
export const wait = (millis: number): Effect.Effect<void> => Effect.flatMap(Wait, (pass) => pass(millis));

/** Long enough for a fiber that is not blocked to get through a few statements, on a slow machine too. */
export const SETTLE_MILLIS = 150;

/** Gives everything that can go on the time to do so. */
export const settle: Effect.Effect<void> = wait(SETTLE_MILLIS);

/** `effect` has to fail with one of `reasons`. */
export const failsWith = Effect.fnUntraced(function* <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  reasons: ReadonlyArray<StoreReason>,
  what: string,
): Effect.fn.Return<void, Violation, R> {
  const exit = yield* Effect.exit(effect);
  if (Exit.isSuccess(exit)) return yield* fail(`${what}: expected ${reasons.join(" or ")}, but it succeeded`);
  const error = Cause.squash(exit.cause);
  if (!(error instanceof StoreError)) return yield* fail(`${what}: expected ${reasons.join(" or ")}, got ${String(error)}`);
  yield* isTrue(reasons.includes(error.reason), `${what}: expected ${reasons.join(" or ")}, got ${error.reason} (${error.message})`);
});

/** `fiber` still runs: it waits for somebody. */
export const isWaiting = <A, E>(fiber: Fiber.Fiber<A, E>, what: string): Effect.Effect<void, Violation> =>
  Effect.suspend(() => isTrue(fiber.pollUnsafe() === undefined, `${what}: expected it to wait, but it has ended`));

/** A gate that one fiber opens and another one waits at. */
export interface Gate {
  readonly open: Effect.Effect<void>;
  readonly passed: Effect.Effect<void>;
}

export const gate: Effect.Effect<Gate> = Effect.map(Deferred.make<void>(), (deferred) => ({
  open: Effect.asVoid(Deferred.succeed(deferred, undefined)),
  passed: Deferred.await(deferred),
}));

/** A name that no other case uses. */
export const unique = (prefix: string): Effect.Effect<string> => Effect.map(hex(12), (digits) => `${prefix}-${digits}`);

/** A message id: UUID version 7 in form, random in content. */
export const uuid: Effect.Effect<string> = Effect.suspend(() =>
  Effect.map(hex(30), (digits) => {
    const part = (from: number, to: number) => digits.slice(from, to);
    return `${part(0, 8)}-${part(8, 12)}-7${part(12, 15)}-8${part(15, 18)}-${part(18, 30)}`;
  }),
);

const HEX_DIGITS = 16;

const hex = (length: number): Effect.Effect<string> => {
  const digit = Effect.map(Random.nextIntBetween(0, HEX_DIGITS, { halfOpen: true }), (value) => value.toString(HEX_DIGITS));
  return Effect.map(Effect.replicateEffect(digit, length), (digits) => digits.join(""));
};
