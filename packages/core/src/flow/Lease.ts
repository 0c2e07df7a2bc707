/**
 * Work that only one process does at a time: it runs while this process holds a lease of `Lock`, and is interrupted when
 * the lease is lost. The others wait, ask again every third of the time to live, and one of them takes over when the
 * owner is gone: at the latest 4/3 of the time to live after it died.
 *
 * The time to live has three thirds, so that no clock needs to be compared with another one: one in which the lock has to
 * answer, one of rest, one in which the lease has to be renewed. Whoever hears nothing for that long has stopped by the
 * time its lease ends at the server.
 *
 * It saves work; safety never rests on it alone. A frozen process wakes up after its lease and finishes the statement it
 * was in: what it writes is guarded by keys, locks or the fence.
 */
import { Duration, Effect, Fiber, Metric } from "effect";
import { type Lease, Lock } from "../ports/Lock.ts";
import { describeCause, StoreError } from "../ports/StoreError.ts";
import * as MessageId from "./MessageId.ts";

export type { Lease } from "../ports/Lock.ts";

/** Shortest time to live, in milliseconds: a third of it has to be enough for a round trip to a busy server. */
export const TTL_MIN_MS = 300;

/** Tries to renew within one third of the time to live, if the lock answers with failures. */
const RENEWALS_PER_THIRD = 4;

const lost = Metric.counter("saga_leases_lost_total", { description: "Leases that ended while their work was running", incremental: true });

/** `underLease` for work that needs no fence. */
export const whileHeld = <A, E, R>(
  name: string,
  ttlMillis: number,
  effect: Effect.Effect<A, E, R>,
): Effect.Effect<A, E | StoreError, R | Lock> => underLease(name, ttlMillis, () => effect);

/**
 * Waits for the lease `name`, runs `work` under it, gives it back, however `work` ended. If the lease is lost, `work` is
 * interrupted, its finalizers are awaited, and it starts anew when this process has the lease again: it has to be safe to
 * repeat.
 *
 * Fails with `work`'s own failure, or with the lock's when it cannot be asked for a lease (`Unavailable`): a `Worker`
 * then comes again by itself. A lock that fails while `work` runs is asked again until the lease would end.
 */
export const underLease = Effect.fnUntraced(function* <A, E, R>(
  name: string,
  ttlMillis: number,
  work: (lease: Lease) => Effect.Effect<A, E, R>,
): Effect.fn.Return<A, E | StoreError, R | Lock> {
  if (ttlMillis < TTL_MIN_MS) return yield* misuse(`a lease has to live for ${TTL_MIN_MS} ms or longer, not ${ttlMillis}`);
  const lock = yield* Lock;
  const third = Duration.millis(ttlMillis / 3);
  const [owner = ""] = yield* MessageId.next(1);
  while (true) {
    const lease = yield* within(third, lock.acquire(name, owner, ttlMillis), null);
    if (lease === null) {
      yield* Effect.sleep(third);
      continue;
    }
    const running = Effect.map(work(lease), (value) => ({ _tag: "Done", value }) as const);
    const watching = Effect.as(untilLost(lease, ttlMillis), { _tag: "Lost" } as const);
    const ended = yield* Effect.raceFirst(running, watching).pipe(Effect.onExit(() => Effect.ignore(lock.release(lease))));
    if (ended._tag === "Done") return ended.value;
    yield* Metric.update(Metric.withAttributes(lost, { lease: name }), 1);
    yield* Effect.logWarning(`the lease "${name}" was lost: its work stopped, and starts again when the lease is back`);
  }
});

/** Ends when the lease has, or may have, ended. */
const untilLost = Effect.fnUntraced(function* (lease: Lease, ttlMillis: number): Effect.fn.Return<void, never, Lock> {
  const lock = yield* Lock;
  const third = Duration.millis(ttlMillis / 3);
  const pause = Duration.millis(ttlMillis / 3 / RENEWALS_PER_THIRD);
  const renewal: Effect.Effect<"Renewed" | "Lost"> = Effect.suspend(() => lock.renew(lease, ttlMillis)).pipe(
    Effect.catchCause((cause) =>
      Effect.logDebug(`the lease "${lease.name}" could not be renewed: ${describeCause(cause)}`).pipe(
        Effect.andThen(Effect.sleep(pause)),
        Effect.andThen(Effect.suspend(() => renewal)),
      ),
    ),
  );
  do yield* Effect.sleep(third);
  while ((yield* within(third, renewal, "Lost")) === "Renewed");
});

/** The answer, or `otherwise` when there is none in time. A call that cannot be interrupted is left behind. */
const within = <A, B, E, R>(limit: Duration.Duration, call: Effect.Effect<A, E, R>, otherwise: B): Effect.Effect<A | B, E, R> =>
  Effect.flatMap(Effect.forkDetach(call), (fiber) =>
    Effect.raceFirst(Fiber.join(fiber), Effect.as(Effect.sleep(limit), otherwise)).pipe(
      Effect.onExit(() => Effect.forkDetach(Fiber.interrupt(fiber))),
    ),
  );

const misuse = (message: string): StoreError => new StoreError({ reason: "Misuse", operation: "Lease.whileHeld", message });
