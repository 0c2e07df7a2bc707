/**
 * Wakes those who wait for work: at once when this process committed some, a few milliseconds later when another one did
 * (NOTIFY), by polling when both were missed. A kick that nobody waits for is kept for the next wait.
 *
 * NOTIFY is sent after the commit, on its own, for many commits together: inside of the business transaction it would cost
 * 60 % of the write rate (measured), because commits that notify wait for each other. It never delays a commit, and cannot
 * fail one: without a free connection it waits for one, without a server it is dropped, and the poll finds what was committed.
 */
import { Clock, Duration, Effect, Latch, Option, type Scope } from "effect";
import type { PgDriver } from "./PgDriver.ts";

export interface Wakeup {
  /** Something was committed: wakes whoever waits here, and in other processes. */
  readonly kick: () => void;
  /** Wakes in other processes only. */
  readonly announce: () => void;
  /** Begins to hear of other processes' commits; once is enough. */
  readonly listen: () => void;
  readonly latch: Latch.Latch;
}

/** How late work of another process is noticed when its NOTIFY was missed; measured, it costs one index probe. */
const POLL = Duration.millis(250);

/** Rest between two NOTIFYs of a process, in milliseconds: 200 a second cost nothing beside the commits they tell of. */
const NOTIFY_EVERY_MS = 5;

/** Wakes within the process only. */
export const make = (): Wakeup => {
  const latch = Latch.makeUnsafe(false);
  return { latch, kick: () => latch.openUnsafe(), announce: () => undefined, listen: () => undefined };
};

/**
 * Wakes in every process that waits on `channel`, until the scope ends. Nobody listens before somebody waits: a process
 * without a relay needs no connection for it.
 */
export const shared = (driver: PgDriver, channel: string): Effect.Effect<Wakeup, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => open(driver, channel)),
      ({ close }) => Effect.promise(close),
    ),
    ({ wakeup }) => wakeup,
  );

const open = (driver: PgDriver, channel: string) => {
  const latch = Latch.makeUnsafe(false);
  const announcer = announcerOf(driver, channel);
  let unlisten: (() => Promise<void>) | null = null;
  const wakeup: Wakeup = {
    latch,
    announce: announcer.announce,
    kick: () => {
      latch.openUnsafe();
      announcer.announce();
    },
    listen: () => {
      unlisten ??= driver.listen(channel, () => latch.openUnsafe());
    },
  };
  const close = async (): Promise<void> => {
    announcer.close();
    await unlisten?.();
  };
  return { wakeup, close };
};

/** One NOTIFY at a time, and a rest after each; what is announced meanwhile is told by the next one. */
const announcerOf = (driver: PgDriver, channel: string) => {
  let isBusy = false;
  let isWanted = false;
  let isClosed = false;
  let timer: NodeJS.Timeout | undefined;
  let immediate: NodeJS.Immediate | undefined;
  const announce = (): void => {
    isWanted = true;
    if (isBusy || isClosed) return;
    isBusy = true;
    isWanted = false;
    const rest = (isTold: boolean): void => {
      isWanted ||= !isTold;
      timer = setTimeout(() => {
        isBusy = false;
        if (isWanted) announce();
      }, NOTIFY_EVERY_MS);
      timer.unref();
    };
    // Whoever waits in this process goes first. A server that cannot be told now is not asked again: the poll is there for that.
    immediate = setImmediate(() => {
      driver.notify(channel).then(rest, () => rest(true));
    });
  };
  const close = (): void => {
    isClosed = true;
    clearTimeout(timer);
    clearImmediate(immediate);
  };
  return { announce, close };
};

/** Returns after a kick, when `isDue` says so, or after `atMost`. */
export const wait = Effect.fnUntraced(function* <E>(
  wakeup: Wakeup,
  isDue: Effect.Effect<boolean, E>,
  atMost: Duration.Duration,
): Effect.fn.Return<void, E> {
  wakeup.listen();
  const end = (yield* Clock.currentTimeMillis) + Duration.toMillis(atMost);
  for (;;) {
    const left = end - (yield* Clock.currentTimeMillis);
    const kicked = yield* Effect.timeoutOption(wakeup.latch.await, Duration.min(POLL, Duration.millis(Math.max(left, 0))));
    if (Option.isSome(kicked)) {
      wakeup.latch.closeUnsafe();
      return;
    }
    if (left <= Duration.toMillis(POLL) || (yield* isDue)) return;
  }
});
