/**
 * A seeded simulator: runs any program that lives on Effect's clock, randomness and fibers on a virtual clock and a
 * scheduler that picks the next fiber by the seed. The same seed is the same run, to the last step.
 *
 * It is synchronous: no Promise, no macrotask, no wall clock. A program that waits for one of these comes to a halt and is
 * reported as `Stuck`, never waited for.
 *
 * `process` runs layers that crash at fault points (`memory/FaultPoint.ts`) and start again on the same world: databases
 * and brokers that outlive them.
 */
import { Cause, Clock, Deferred, Duration, Effect, Exit, Fiber, Layer, Random, type Scheduler } from "effect";
import type { Timestamp } from "../domain/Timestamp.ts";
import * as FaultPoint from "../memory/FaultPoint.ts";

export interface Options {
  readonly seed: number;
  /** Virtual start time. */
  readonly startAt?: Timestamp;
  /** Virtual time after which a run that has not ended counts as stuck, in milliseconds. */
  readonly limitMillis?: number;
}

export interface Run<A, E> {
  readonly exit: Exit.Exit<A, E>;
  /** Digest of every scheduling decision: equal for equal runs. */
  readonly fingerprint: string;
  readonly steps: number;
  /** Virtual milliseconds that passed. */
  readonly elapsed: number;
}

/** 2026-01-01T00:00:00Z. */
const START_AT = 1_767_225_600_000;

/** Virtual time of a run, at most: one day. */
const LIMIT_MS = 86_400_000;

/** Scheduling decisions of a run, at most: an endless loop ends as `Stuck` within seconds. */
export const STEPS_MAX = 20_000_000;

/** The program can go no further, or does not end. */
export class Stuck extends Error {
  override readonly name = "Stuck";
}

/** Runs `program` to its end. */
export const run = <A, E>(options: Options, program: Effect.Effect<A, E>): Run<A, E> => {
  const startAt = options.startAt ?? START_AT;
  const random = mulberry32(options.seed);
  const clock = new VirtualClock(startAt);
  const scheduler = new SeededScheduler(random.nextDoubleUnsafe);
  const fiber = Effect.runFork(program.pipe(Effect.provideService(Clock.Clock, clock), Effect.provideService(Random.Random, random)), {
    scheduler,
  });
  const end = drive(fiber, scheduler, clock, startAt + (options.limitMillis ?? LIMIT_MS));
  return { exit: end, fingerprint: scheduler.fingerprint(), steps: scheduler.steps, elapsed: clock.now - startAt };
};

const drive = <A, E>(fiber: Fiber.Fiber<A, E>, scheduler: SeededScheduler, clock: VirtualClock, limit: Timestamp): Exit.Exit<A, E> => {
  for (;;) {
    const exit = fiber.pollUnsafe();
    if (exit !== undefined) return exit;
    if (scheduler.steps > STEPS_MAX) return Exit.die(new Stuck(`no end after ${STEPS_MAX} steps`));
    if (scheduler.runOne()) continue;
    if (clock.now > limit) return Exit.die(new Stuck(`no end after ${clock.now} virtual milliseconds`));
    if (!clock.advance()) return Exit.die(new Stuck("every fiber waits for something that cannot happen"));
  }
};

/** mulberry32: small, fast, good enough to draw schedules. Source: Tommy Ettinger, public domain. */
const mulberry32 = (seed: number): { readonly nextDoubleUnsafe: () => number; readonly nextIntUnsafe: () => number } => {
  let state = seed >>> 0;
  const nextDoubleUnsafe = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
  return { nextDoubleUnsafe, nextIntUnsafe: () => Math.floor(nextDoubleUnsafe() * Number.MAX_SAFE_INTEGER) };
};

/** Keeps every task in one bag and draws the next one. */
class SeededScheduler implements Scheduler.Scheduler {
  readonly executionMode = "async";
  steps = 0;
  private readonly bag: Array<() => void> = [];
  private readonly draw: () => number;
  private digest = 0x811c9dc5;

  constructor(draw: () => number) {
    this.draw = draw;
  }

  shouldYield(fiber: Fiber.Fiber<unknown, unknown>): boolean {
    return fiber.currentOpCount >= OPS_BEFORE_YIELD;
  }

  makeDispatcher(): Scheduler.SchedulerDispatcher {
    return { scheduleTask: (task) => void this.bag.push(task), flush: () => undefined };
  }

  /** Runs one task; false if there is none. */
  runOne(): boolean {
    const { length } = this.bag;
    if (length === 0) return false;
    const index = Math.floor(this.draw() * length);
    const task = this.bag[index];
    const last = this.bag.pop();
    if (task === undefined || last === undefined) return false;
    if (index < length - 1) this.bag[index] = last;
    this.steps += 1;
    this.digest = Math.imul(this.digest ^ (index + length * 31), 0x01000193) >>> 0;
    task();
    return true;
  }

  fingerprint(): string {
    return `${this.steps}:${this.digest.toString(16)}`;
  }
}

/** Operations of a fiber before it must let others go on. */
const OPS_BEFORE_YIELD = 2_048;

interface Sleeper {
  readonly at: number;
  readonly seq: number;
  readonly wake: () => void;
}

/** Time passes only when nobody can go on. */
class VirtualClock implements Clock.Clock {
  now: Timestamp;
  private seq = 0;
  private readonly sleepers = new Set<Sleeper>();

  constructor(startAt: Timestamp) {
    this.now = startAt;
  }

  readonly currentTimeMillis = Effect.sync(() => this.now);
  readonly currentTimeNanos = Effect.sync(() => this.currentTimeNanosUnsafe());
  readonly monotonicTimeNanos = Effect.sync(() => this.currentTimeNanosUnsafe());

  currentTimeMillisUnsafe(): number {
    return this.now;
  }

  currentTimeNanosUnsafe(): bigint {
    return BigInt(this.now) * 1_000_000n;
  }

  monotonicTimeNanosUnsafe(): bigint {
    return this.currentTimeNanosUnsafe();
  }

  sleep(duration: Duration.Duration): Effect.Effect<void> {
    const millis = Math.max(0, Math.ceil(Duration.toMillis(duration)));
    if (!Number.isFinite(millis)) return Effect.never;
    return Effect.callback<void>((resume) => {
      this.seq += 1;
      const sleeper: Sleeper = { at: this.now + millis, seq: this.seq, wake: () => resume(Effect.void) };
      this.sleepers.add(sleeper);
      return Effect.sync(() => void this.sleepers.delete(sleeper));
    });
  }

  /** Wakes who sleeps the shortest; false if nobody sleeps. */
  advance(): boolean {
    let next: Sleeper | undefined;
    for (const sleeper of this.sleepers) {
      if (next === undefined || sleeper.at < next.at || (sleeper.at === next.at && sleeper.seq < next.seq)) next = sleeper;
    }
    if (next === undefined) return false;
    this.sleepers.delete(next);
    this.now = Math.max(this.now, next.at);
    next.wake();
    return true;
  }
}

/** What goes wrong at the fault points of a process. Probabilities from 0 to 1. */
export interface Faults {
  readonly crash: number;
  readonly delay: number;
  /** Longest delay, in virtual milliseconds. */
  readonly delayMaxMillis: number;
  /** Longest time that a crashed process is away, in virtual milliseconds. */
  readonly downMaxMillis: number;
  /** No faults from here on. */
  readonly until: Timestamp;
}

export const noFaults: Faults = { crash: 0, delay: 0, delayMaxMillis: 0, downMaxMillis: 0, until: 0 };

/** A crash that happened: which process, where, when. */
export interface Crash {
  readonly process: string;
  readonly point: string;
  readonly at: Timestamp;
}

/**
 * A process: builds `layer`, lives until a fault point kills it, and is built again after a while. Runs until it is
 * interrupted. A layer that fails to build or a defect that ends it is a bug of the program and ends the run.
 */
export const process = <E>(
  name: string,
  layer: Layer.Layer<never, E>,
  faults: Faults,
  onCrash: (crash: Crash) => void = () => undefined,
): Effect.Effect<never, E> =>
  Effect.gen(function* () {
    const random = yield* Random.Random;
    const clock = yield* Clock.Clock;
    const crashed = yield* Deferred.make<void>();
    const handler: FaultPoint.Handler = (point) =>
      Effect.suspend(() => {
        const now = clock.currentTimeMillisUnsafe();
        const draw = now < faults.until ? random.nextDoubleUnsafe() : 1;
        if (draw < faults.crash) {
          onCrash({ process: name, point, at: now });
          Deferred.doneUnsafe(crashed, Exit.void);
          // Nobody gets past the place of the crash, not even where interruption is masked.
          return Effect.interruptible(Effect.never);
        }
        if (draw < faults.crash + faults.delay) return Effect.sleep(Duration.millis(random.nextDoubleUnsafe() * faults.delayMaxMillis));
        return Effect.yieldNow;
      });
    const life = Layer.launch(layer).pipe(Effect.provideService(FaultPoint.Handler, handler));
    yield* Effect.raceFirst(life, Deferred.await(crashed));
    yield* Effect.sleep(Duration.millis(random.nextDoubleUnsafe() * faults.downMaxMillis));
  }).pipe(Effect.forever);

/** A fault point of a program's own, for code that is not behind a memory adapter. */
export const faultPoint: (name: string) => Effect.Effect<void> = FaultPoint.hit;

/** What a failed run died of, for people. */
export const explain = <A, E>(exit: Exit.Exit<A, E>): string => (Exit.isSuccess(exit) ? "ended well" : Cause.pretty(exit.cause));
