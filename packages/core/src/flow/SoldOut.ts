/**
 * In front of any `StockReservation`: the losers of a sold-out sale are refused from a local mark, without asking the engine.
 *
 * A mark says: of this SKU, the engine could not give so many units. It is set by an `OutOfStock` to this process, and gone
 * as soon as an answer to this process gave units back (`Release`, `Expire`, `Adjust`; a lost answer might have), and
 * `SOLD_OUT_MS` after it was set, because units that another process gives back are not seen here. A timer sees to that; of a
 * process that is too busy to hear its timers, `LOOK_EVERY` losers at most are answered from a mark that should be gone.
 *
 * What is answered from a mark is a *first request*, and nobody but the caller can know that it is one: the order may have
 * been granted by another process after the mark was set here, and no look at this process's memory can tell. So there are
 * two doors:
 *
 * - `StockReservation`, wrapped: every command reaches the engine, whose answer it is. Redeliveries, retries and repetitions
 *   come in here. It keeps the whole contract of the port, with any number of processes; the marks learn from it.
 * - `SoldOut.first`: for `Reserve`s of orders that were never sent to any engine by anybody. Say so only when it is known: the
 *   id was made by this very handler, or a durable record says that nobody took the request up before.
 *
 * Guarantees:
 * 1. `first` never grants: it refuses from a mark, or asks the engine. Nothing is oversold, whoever calls it.
 * 2. A refusal from a mark is what the engine said about at most as many units of the SKU, at most `SOLD_OUT_MS` before, while
 *    nothing was given back through this process.
 * 3. An order that was granted is never told `OutOfStock`, in whichever process it asks again, if its first request alone came
 *    through `first` (G6). A refused order is free to ask again.
 * 4. First come, first served within the process: a request is answered from a mark at once, or joins the engine's queue in the
 *    order of its arrival.
 *
 * An order that was released before its first request is told `OutOfStock` in place of `AlreadyReleased`: refused either way.
 *
 * It is not a cache of the books, and remembers no orders. Only plain requests set marks and are answered from them: one line,
 * all or nothing, no warehouse and no limit named. The others ask something else, or are refused with another word.
 */
import { Clock, Context, Duration, Effect, Exit, Layer, Metric, Result, type Scope } from "effect";
import { HOLD_TTL_MAX_MS, QUANTITY_MAX } from "../domain/Limits.ts";
import type { Sku, StockLine } from "../domain/stock/Sku.ts";
import type { Reserve, StockCommand } from "../domain/stock/StockCommand.ts";
import type { Answer } from "../domain/stock/StockLedger.ts";
import { StockReservation } from "../ports/StockReservation.ts";
import type { StoreError } from "../ports/StoreError.ts";

export class SoldOut extends Context.Service<
  SoldOut,
  {
    /**
     * One answer per request, in order. Each order is asked for here and now for the first time, anywhere (see above). After
     * `StoreError` a request is not a first one any more: repeat it through `StockReservation`.
     */
    readonly first: (requests: ReadonlyArray<Reserve>) => Effect.Effect<ReadonlyArray<Answer>, StoreError>;
  }
>()("@org/saga-core/flow/SoldOut") {}

/** A mark lapses by itself: how long units that another process gave back may stay unsold here, in milliseconds. */
export const SOLD_OUT_MS = 250;

/** Answers from marks between two looks at the clock: a look takes half as long as all the rest of an answer (measured). */
export const LOOK_EVERY = 32;

/** Marked SKUs; beyond, the one marked longest ago is forgotten, and its losers ask the engine. */
export const MARKS_MAX = 10_000;

/** Counted when the next call goes to the engine: a mark that is asked lapses soon, and a loser must not pay for a metric. */
const answered = Metric.counter("saga_stock_sold_out_answers_total", {
  description: "Reservations refused from a local mark, without asking the engine",
  incremental: true,
});

/** The engine underneath, wrapped, and the door for first requests. */
export const layer: Layer.Layer<StockReservation | SoldOut, never, StockReservation> = Layer.effectContext(
  Effect.gen(function* () {
    const engine = yield* StockReservation;
    const clock = yield* Clock.Clock;
    const marks = new Marks();
    const execute = asking(engine, clock, marks, lapsing(clock, marks, yield* Effect.scope));
    yield* Effect.addFinalizer(() => count(marks));
    return Context.make(StockReservation, { ...engine, execute }).pipe(Context.add(SoldOut, { first: answering(clock, execute, marks) }));
  }),
);

type Execute = StockReservation["Service"]["execute"];

/** Sees to it that marks end by themselves, while there are any. */
const lapsing = (clock: Clock.Clock, marks: Marks, scope: Scope.Scope): Effect.Effect<void> => {
  let isWaiting = false;
  const wait = Effect.gen(function* () {
    for (;;) {
      const rest = marks.lapse(clock.monotonicTimeNanosUnsafe());
      if (rest === null) break;
      yield* clock.sleep(Duration.millis(rest));
    }
    isWaiting = false;
  });
  return Effect.suspend(() => {
    if (isWaiting || marks.isEmpty) return Effect.void;
    isWaiting = true;
    return Effect.asVoid(Effect.forkIn(wait, scope));
  });
};

/** Asks the engine, and learns from what it answers. */
const asking =
  (engine: StockReservation["Service"], clock: Clock.Clock, marks: Marks, lapse: Effect.Effect<void>): Execute =>
  (commands) =>
    Effect.suspend(() => {
      const before = marks.sent(commands);
      return Effect.onExit(engine.execute(commands), (exit) =>
        Effect.suspend(() => {
          if (Exit.isFailure(exit)) marks.forget();
          else marks.learn(commands, exit.value, before, clock.monotonicTimeNanosUnsafe());
          marks.back(before);
          return Effect.andThen(lapse, count(marks));
        }),
      );
    });

const count = (marks: Marks): Effect.Effect<void> =>
  Effect.suspend(() => {
    const answers = marks.answered;
    marks.answered = 0;
    return answers === 0 ? Effect.void : Metric.update(answered, answers);
  });

/** A loser costs one look at the marks: a sale has far more of them than the engine has time for. */
const answering =
  (clock: Clock.Clock, execute: Execute, marks: Marks): SoldOut["Service"]["first"] =>
  (requests) =>
    Effect.suspend(() => {
      if (marks.isEmpty) return execute(requests);
      if (requests.length > 1 || marks.answered % LOOK_EVERY === 0) marks.lapse(clock.monotonicTimeNanosUnsafe());
      const [only] = requests;
      if (only === undefined || requests.length > 1) return some(execute, marks, requests);
      const refusal = marks.refusal(only);
      if (refusal === undefined) return execute(requests);
      marks.answered += 1;
      return Effect.succeed([refusal]);
    });

/** Answers those that can be, and asks the engine for the rest. */
const some = (execute: Execute, marks: Marks, requests: ReadonlyArray<Reserve>): Effect.Effect<ReadonlyArray<Answer>, StoreError> => {
  const known = requests.map((request) => marks.refusal(request));
  const rest = requests.filter((_, index) => known[index] === undefined);
  marks.answered += requests.length - rest.length;
  return Effect.map(rest.length === 0 ? Effect.succeed([]) : execute(rest), (answers) => {
    const asked = answers.values();
    return known.flatMap((refusal) => refusal ?? asked.next().value ?? []);
  });
};

interface Mark {
  /** The fewest units that were refused. */
  readonly quantity: number;
  /** By the monotonic clock, in nanoseconds. */
  readonly until: bigint;
  readonly skus: ReadonlyArray<Sku>;
}

/** A SKU about which the engine is being asked. */
interface Asked {
  calls: number;
  /** How often units came back meanwhile. */
  returns: number;
}

/** The SKUs of a call, with their `returns` when it was sent. */
type Sent = ReadonlyMap<Sku, number>;

const NANOS_PER_MILLI = 1_000_000;
const SOLD_OUT_NANOS = BigInt(SOLD_OUT_MS * NANOS_PER_MILLI);

class Marks {
  /** Answers that are not counted yet. */
  answered = 0;
  readonly #marks = new Map<Sku, Mark>();
  readonly #asked = new Map<Sku, Asked>();

  get isEmpty(): boolean {
    return this.#marks.size === 0;
  }

  /** What a mark says to a request; nothing for one that the engine might grant, or refuse with another word. */
  refusal(request: Reserve): Answer | undefined {
    const line = plainLine(request);
    const mark = line === undefined ? undefined : this.#marks.get(line.sku);
    if (line === undefined || mark === undefined) return undefined;
    const { orderId, ttlMillis } = request;
    return line.quantity >= mark.quantity && isWhole(line.quantity, QUANTITY_MAX) && isWhole(ttlMillis, HOLD_TTL_MAX_MS)
      ? Result.fail({ _tag: "OutOfStock", orderId, skus: mark.skus })
      : undefined;
  }

  /** Removes what is over; returns the milliseconds until more is, null if nothing is left. They are in the order of their ends. */
  lapse(now: bigint): number | null {
    for (const [sku, { until }] of this.#marks) {
      if (now < until) return Math.ceil(Number(until - now) / NANOS_PER_MILLI);
      this.#marks.delete(sku);
    }
    return null;
  }

  /** A call goes to the engine. */
  sent(commands: ReadonlyArray<StockCommand>): Sent {
    const before = new Map<Sku, number>();
    for (const command of commands) {
      const sku = command._tag === "Reserve" ? plainLine(command)?.sku : undefined;
      if (sku === undefined || before.has(sku)) continue;
      const asked = this.#asked.get(sku);
      before.set(sku, asked?.returns ?? 0);
      if (asked === undefined) this.#asked.set(sku, { calls: 1, returns: 0 });
      else asked.calls += 1;
    }
    return before;
  }

  /** It came back. */
  back(before: Sent): void {
    for (const sku of before.keys()) {
      const asked = this.#asked.get(sku);
      if (asked === undefined) continue;
      asked.calls -= 1;
      if (asked.calls === 0) this.#asked.delete(sku);
    }
  }

  learn(commands: ReadonlyArray<StockCommand>, answers: ReadonlyArray<Answer>, before: Sent, now: bigint): void {
    for (const [index, command] of commands.entries()) {
      const answer = answers[index];
      if (answer === undefined) continue;
      if (Result.isSuccess(answer)) {
        if (answer.success._tag === "Released") for (const { sku } of answer.success.lines) this.#returned(sku);
        // Counted out: holds may have been revoked, and gave back whatever else they held.
        if (command._tag === "Adjust" && command.delta < 0) this.forget();
        if (command._tag === "Adjust") this.#returned(command.sku);
      } else if (command._tag === "Reserve" && answer.failure._tag === "OutOfStock") {
        const line = plainLine(command);
        if (line !== undefined) this.#refused(line, before, now);
      }
    }
  }

  /** Anything may have been given back. */
  forget(): void {
    this.#marks.clear();
    for (const asked of this.#asked.values()) asked.returns += 1;
  }

  #returned(sku: Sku): void {
    this.#marks.delete(sku);
    const asked = this.#asked.get(sku);
    if (asked !== undefined) asked.returns += 1;
  }

  #refused({ sku, quantity }: StockLine, before: Sent, now: bigint): void {
    // Given back while the refusal was on its way: it may be older.
    if (this.#asked.get(sku)?.returns !== before.get(sku)) return;
    const mark = this.#marks.get(sku);
    if (mark !== undefined && mark.quantity < quantity && now < mark.until) return;
    this.#marks.delete(sku);
    const oldest = this.#marks.size >= MARKS_MAX ? this.#marks.keys().next().value : undefined;
    if (oldest !== undefined) this.#marks.delete(oldest);
    this.#marks.set(sku, { quantity, until: now + SOLD_OUT_NANOS, skus: [sku] });
  }
}

/** The line of a plain request. */
const plainLine = ({ lines, policy, warehouses, split, limit }: Reserve): StockLine | undefined =>
  lines.length === 1 && policy !== "partial" && warehouses === undefined && split !== "allowed" && limit === undefined
    ? lines[0]
    : undefined;

const isWhole = (value: number, max: number): boolean => Number.isSafeInteger(value) && value >= 1 && value <= max;
