/**
 * Who serves, as one process sees it, and how it asks the log.
 *
 * ```
 *            the log answers for a while: change(generation + 1, server), open the log with the ledger's state
 *   ledger ─────────────────────────────────────────────────────────────────────────▶ log ──┐ another server, or the log
 *      ▲                                                                               │ ▲  │ is no more: the same again,
 *      └───────────────────── it fails some times in a row: change(generation + 1) ────┘ └──┘ generation + 1
 * ```
 * 1. What this process believes may be old. Nothing durable rests on it: `StockBooks` compares the generation in every write.
 * 2. The server behind the connection is compared before an answer of the log is asked for, and after it was given. One that
 *    restarted, failed over or was restored is another one, whatever its data say.
 * 3. To begin anew from the ledger is always right: it forgets what only the log knew, and never what the ledger keeps.
 * 4. Whoever wins the compare-and-set opens the log. The others wait for it, and after `OPENING_MS` do without.
 * 5. A change that was begun is carried to its end, whoever asked for it and does not wait any more.
 */
import { Clock, Duration, Effect, Fiber, Metric, type Scope, Semaphore } from "effect";
import { StockBooks, type StockServing } from "../ports/StockBooks.ts";
import { type LogServer, StockLog } from "../ports/StockLog.ts";
import { StoreError } from "../ports/StoreError.ts";

/** The books of one shard hold all SKUs. */
export const SHARD = 0;

export interface Shard {
  /** Who serves, as far as is known here. */
  readonly serving: Effect.Effect<StockServing, StoreError>;
  /** Asks the books who serves. */
  readonly refresh: Effect.Effect<StockServing, StoreError>;
  /**
   * An answer of the log that serves. Null: it does not any more, or does not answer; whatever is due was done about it, and who
   * serves has to be asked again.
   */
  readonly ask: <A>(serving: StockServing, question: Effect.Effect<A | "Ended", StoreError>) => Effect.Effect<A | null, StoreError>;
  /** Whether the log is on the same server as before; if not, whatever is due was done about it. Says nothing about the log itself. */
  readonly compare: (serving: StockServing) => Effect.Effect<void, StoreError>;
  /** Ends `from`, if it still serves, and begins anew from the ledger: on the log if it answers, else without it. */
  readonly renew: (from: StockServing, why: string) => Effect.Effect<void, StoreError>;
  /** Looks whether the log answers, and lets it serve when it has for long enough. While the ledger serves. */
  readonly probe: (from: StockServing) => Effect.Effect<void, StoreError>;
}

/** Failures in a row after which the ledger serves: one or two are a connection that was lost. */
export const FAILURES_MAX = 3;

/** An answer of the log takes a millisecond; a server that is silent for so long is away. */
export const ASK_TIMEOUT_MS = 500;

/** The first one in a generation takes as long as it takes to read the log: some seconds for a million holds. */
const FIRST_TIMEOUT_MS = 30_000;

/** Before a failed question is asked again, in milliseconds: time to connect. */
const AGAIN_MS = 20;

/** How long others wait for the one who opens the log, in milliseconds: a million holds take a few seconds. */
export const OPENING_MS = 5_000;
const OPENING_LOOK_MS = 20;
const OPEN_TIMEOUT_MS = 30_000;

/** How long a log has to answer before it serves again, in milliseconds; doubled when it fails again soon after. */
export const RETURN_MS = 2_000;
export const RETURN_MAX_MS = 60_000;

/** Reasons that are said while no log serves: a server that always finds another one is not listened to for ever. */
const SAID_MAX = 20;

/** A log that served for so long, in milliseconds, was well. */
const WELL_MS = 60_000;

const begun = Metric.counter("saga_stock_generations_total", {
  description: "Generations that this process began",
  incremental: true,
});
const failures = Metric.counter("saga_stock_log_failures_total", {
  description: "Questions that the log did not answer",
  incremental: true,
});

interface State {
  known: { readonly serving: StockServing; readonly since: number } | null;
  /** The generation whose log is known to be open. */
  opened: number;
  /** The last generation whose log has answered this process. */
  heard: number;
  failed: number;
  /** Goes up with each failure that counts: questions that were asked before it, and fail as well, are the same failure. */
  turn: number;
  /** While the ledger serves: since when the log answers. */
  answersSince: number | null;
  returnAfter: number;
  /** Why no log serves, as was said already. Empty while one does. */
  readonly said: Set<string>;
}

export const make: Effect.Effect<Shard, never, StockBooks | StockLog | Scope.Scope> = Effect.gen(function* () {
  const books = yield* StockBooks;
  const log = yield* StockLog;
  const scope = yield* Effect.scope;
  const one = yield* Semaphore.make(1);
  const state: State = { known: null, opened: 0, heard: 0, failed: 0, turn: 0, answersSince: null, returnAfter: 0, said: new Set() };

  const learn = (serving: StockServing): Effect.Effect<StockServing> =>
    Effect.map(Clock.currentTimeMillis, (now) => {
      const before = state.known;
      if (before !== null && before.serving.generation >= serving.generation) return before.serving;
      state.known = { serving, since: now };
      state.failed = 0;
      state.answersSince = null;
      if (before !== null && before.serving.server !== null && serving.server === null) {
        const wasWell = now - before.since >= WELL_MS;
        state.returnAfter = wasWell ? RETURN_MS : Math.min(RETURN_MAX_MS, Math.max(RETURN_MS, state.returnAfter * 2));
      }
      return serving;
    });

  /** One change at a time, in nobody's fiber: between the books and the log it must not be left off. */
  const changing = (change: Effect.Effect<void, StoreError>): Effect.Effect<void, StoreError> =>
    Effect.flatMap(Effect.forkIn(one.withPermits(1)(change), scope), Fiber.join);

  const refresh = Effect.flatMap(books.serving, learn);
  const serving = Effect.suspend(() => (state.known === null ? refresh : Effect.succeed(state.known.serving)));
  const isOver = (from: StockServing) => Effect.map(refresh, ({ generation }) => generation !== from.generation);

  /** Each reason once, until the log serves again: it is looked for it again and again. */
  const sayOnce = Effect.fnUntraced(function* ({ generation }: StockServing, why: string) {
    if (state.said.has(why) || state.said.size >= SAID_MAX) return;
    state.said.add(why);
    yield* Effect.logWarning(`the ledger serves the stock, generation ${generation}: ${why}`);
  });

  /** Without the log. */
  const fallBack = Effect.fnUntraced(function* (from: StockServing, why: string): Effect.fn.Return<void, StoreError> {
    const won = yield* books.change(from.generation, null);
    if (won === null) return yield* Effect.asVoid(refresh);
    yield* learn(won.serving);
    yield* Metric.update(begun, 1);
    yield* sayOnce(won.serving, why);
  });

  const begin = Effect.fnUntraced(function* (from: StockServing, server: LogServer, why: string): Effect.fn.Return<void, StoreError> {
    const won = yield* books.change(from.generation, server);
    if (won === null) return yield* Effect.asVoid(refresh);
    const { generation } = won.serving;
    yield* learn(won.serving);
    const opened = yield* Effect.result(timed(log.open(SHARD, generation, won.view), OPEN_TIMEOUT_MS));
    if (opened._tag === "Failure") return yield* fallBack(won.serving, opened.failure.message);
    if (opened.success === "Ended") return yield* fallBack(won.serving, "the log has a later generation");
    state.opened = generation;
    yield* Metric.update(begun, 1);
    yield* Effect.logInfo(`a log serves the stock, generation ${generation}: ${why}`);
  });

  const renewed = Effect.fnUntraced(function* (from: StockServing, why: string): Effect.fn.Return<void, StoreError> {
    if (yield* isOver(from)) return;
    const server = yield* Effect.result(timed(log.server, ASK_TIMEOUT_MS));
    return yield* server._tag === "Failure" ? fallBack(from, server.failure.message) : begin(from, server.success, why);
  });
  const renew: Shard["renew"] = (from, why) => changing(renewed(from, why));

  const failed = Effect.fnUntraced(function* (from: StockServing, error: StoreError, turn: number): Effect.fn.Return<null, StoreError> {
    yield* Metric.update(failures, 1);
    if (turn === state.turn) {
      state.turn += 1;
      state.failed += 1;
    }
    if (state.failed < FAILURES_MAX) yield* Effect.sleep(Duration.millis(AGAIN_MS));
    else yield* changing(fallBack(from, error.message));
    return null;
  });

  /** `wasOpen`: when it was asked, which may have been before somebody opened it. */
  const ended = Effect.fnUntraced(function* (from: StockServing, wasOpen: boolean): Effect.fn.Return<null, StoreError> {
    const since = state.known?.since ?? 0;
    if (wasOpen) yield* renew(from, "its log is no more");
    else if ((yield* Clock.currentTimeMillis) - since >= OPENING_MS) yield* changing(fallBack(from, "nobody has opened its log"));
    else if (!(yield* isOver(from))) yield* Effect.sleep(Duration.millis(OPENING_LOOK_MS));
    return null;
  });

  /** Null: no answer, or one of another server. */
  const answered = Effect.fnUntraced(function* <A>(
    from: StockServing,
    question: Effect.Effect<A, StoreError>,
  ): Effect.fn.Return<{ readonly answer: A } | null, StoreError> {
    const { turn } = state;
    const isSame = Effect.map(log.server, (server) => from.server !== null && sameServer(server, from.server));
    const asked = (same: Effect.Effect<boolean, StoreError>) =>
      Effect.gen(function* () {
        if (!(yield* same)) return { _tag: "Other" } as const;
        const answer = yield* question;
        return (yield* same) ? ({ _tag: "Answer", answer } as const) : ({ _tag: "Other" } as const);
      });
    const isFirst = state.heard !== from.generation;
    const waited = isFirst ? timed(asked(timed(isSame, ASK_TIMEOUT_MS)), FIRST_TIMEOUT_MS) : timed(asked(isSame), ASK_TIMEOUT_MS);
    const result = yield* Effect.result(waited);
    if (result._tag === "Failure") return yield* failed(from, result.failure, turn);
    if (result.success._tag === "Other") return yield* Effect.as(renew(from, "another server answers"), null);
    return result.success;
  });

  const ask: Shard["ask"] = Effect.fnUntraced(function* (from, question) {
    const wasOpen = state.opened === from.generation;
    const said = yield* answered(from, question);
    if (said === null) return null;
    const { answer } = said;
    // Not by a look at which server it is: one that says so much, and answers nothing else, is away.
    state.failed = 0;
    if (answer === "Ended") return yield* ended(from, wasOpen);
    state.opened = from.generation;
    state.heard = from.generation;
    state.said.clear();
    return answer;
  });

  const compare: Shard["compare"] = (from) => Effect.asVoid(answered(from, Effect.void));

  const probe = Effect.fnUntraced(function* (from: StockServing): Effect.fn.Return<void, StoreError> {
    const server = yield* Effect.result(timed(log.server, ASK_TIMEOUT_MS));
    const now = yield* Clock.currentTimeMillis;
    if (server._tag === "Failure") {
      state.answersSince = null;
      return yield* sayOnce(from, server.failure.message);
    }
    state.answersSince ??= now;
    if (now - state.answersSince < state.returnAfter) return;
    yield* changing(begin(from, server.success, "it answers"));
  });

  return { serving, refresh, ask, compare, renew, probe };
});

const sameServer = (left: LogServer, right: LogServer): boolean => left.runId === right.runId && left.replicationId === right.replicationId;

/** A question may have been heard, though nobody waits for its answer: as after any lost answer, it is asked again. */
const timed = <A>(question: Effect.Effect<A, StoreError>, millis: number): Effect.Effect<A, StoreError> =>
  Effect.timeoutOrElse(question, {
    duration: Duration.millis(millis),
    orElse: () =>
      Effect.fail(new StoreError({ reason: "Unknown", operation: "StockLog", message: `the log did not answer within ${millis} ms` })),
  });
