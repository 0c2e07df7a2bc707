/**
 * Due timers enter the mailbox like messages. A firing is removed in the transaction of its decision; if that never
 * commits, it comes again after its lease. The decision ignores a token that is not in its state.
 */
import { Cause, Clock, Duration, Effect, Exit, type Layer } from "effect";
import { StoreError } from "../ports/StoreError.ts";
import { type Timer, Timers } from "../ports/Timers.ts";
import type { TimerInput } from "./Aggregate.ts";
import { LeftAlone } from "./Batch.ts";
import type { Mailbox } from "./Mailbox.ts";
import * as Worker from "./Worker.ts";

/** Timers of one pass. */
export const PUMP_BATCH_MAX = 200;

/** How long a claimed timer is hidden, in milliseconds: above the longest decision, below what a person would notice. */
export const LEASE_MS = 15_000;

/** Longest rest without a look at the timers, in milliseconds: how late a timer that was just scheduled elsewhere may fire. */
export const POLL_MS = 250;

export type Handle<R> = (timers: ReadonlyArray<Timer>) => Effect.Effect<void, StoreError, R>;

/**
 * Shortest rest when nothing could be claimed, in milliseconds. A timer may be due by this process's clock and not by the
 * database's, or be locked by the transaction that decides it: without a rest the pump would ask as fast as it can.
 */
export const REST_MIN_MS = 20;

/** Hands timers to the mailbox of their aggregate. One that is poisonous fails alone, and comes again after its lease. */
export const into =
  <I, A>(mailbox: Mailbox<I | TimerInput, A>): Handle<never> =>
  (timers) =>
    Effect.flatMap(mailbox.submitAll(timers.map((timer) => ({ _tag: "Timer", timer }))), (exits) =>
      Effect.forEach(exits, (exit, index) => settle(exit, timers[index]), { discard: true }),
    );

/** Hands the due timers of `owner`, at most `batchMax`, to `handle`, once; returns how many. */
export const pumpOnce = Effect.fnUntraced(function* <R>(
  owner: string,
  handle: Handle<R>,
  leaseMillis: number = LEASE_MS,
  batchMax: number = PUMP_BATCH_MAX,
): Effect.fn.Return<number, StoreError, R | Timers> {
  const timers = yield* Timers;
  const due = yield* timers.claimDue(owner, batchMax, leaseMillis);
  if (due.length > 0) yield* handle(due);
  return due.length;
});

/** One pass: pump, and rest until the next timer, or for `POLL_MS`, if nothing was due. */
export const pass = Effect.fnUntraced(function* <R>(
  owner: string,
  handle: Handle<R>,
  leaseMillis: number = LEASE_MS,
  batchMax: number = PUMP_BATCH_MAX,
): Effect.fn.Return<void, StoreError, R | Timers> {
  if ((yield* pumpOnce(owner, handle, leaseMillis, batchMax)) > 0) return;
  const timers = yield* Timers;
  const next = yield* timers.nextDueAt(owner);
  const now = yield* Clock.currentTimeMillis;
  yield* Effect.sleep(Duration.millis(next === null ? POLL_MS : Math.min(POLL_MS, Math.max(REST_MIN_MS, next - now))));
});

export const layer = <R>(
  owner: string,
  handle: Handle<R>,
  leaseMillis: number = LEASE_MS,
  batchMax: number = PUMP_BATCH_MAX,
): Layer.Layer<never, never, R | Timers> => Worker.layer(`TimerPump(${owner})`, pass(owner, handle, leaseMillis, batchMax));

const settle = (exit: Exit.Exit<unknown, unknown>, timer: Timer | undefined): Effect.Effect<void, StoreError> => {
  if (Exit.isSuccess(exit)) return Effect.void;
  const failure = Cause.squash(exit.cause);
  if (failure instanceof StoreError) return Effect.fail(failure);
  // After its lease it is offered again, perhaps to a process that knows it.
  if (failure instanceof LeftAlone) return Effect.logDebug(failure.message);
  return Effect.logError(`a timer "${timer?.name ?? ""}" of ${timer?.owner ?? "nobody"} cannot be handled; it comes again after its lease`);
};
