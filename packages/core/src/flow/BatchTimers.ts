/**
 * The timers of a batch: what its decisions schedule and cancel, and what its inputs answer for, with one call each.
 *
 * Not the port (`Timers`), and not who fires them (`TimerPump`): one batch, inside its transaction.
 */
import { Effect } from "effect";
import type { TimerRequest } from "../domain/saga/Coordinator.ts";
import { type Timer, type TimerKey, Timers } from "../ports/Timers.ts";
import type { Input } from "./Aggregate.ts";

/** What a decision about `key` asks for. */
export interface Requested {
  readonly key: string;
  readonly request: TimerRequest;
}

/** `requests`: one a timer, the last word on it. Timers among the inputs are done for. */
export const keep = Effect.fnUntraced(function* <C>(owner: string, requests: ReadonlyArray<Requested>, inputs: ReadonlyArray<Input<C>>) {
  const schedule: Array<Timer> = [];
  const cancel: Array<TimerKey> = [];
  for (const { key, request } of requests) {
    if (request._tag === "Schedule") schedule.push({ owner, key, name: request.name, token: request.token, dueAt: request.at });
    else cancel.push({ owner, key, name: request.name });
  }
  const fired = inputs.flatMap((input) => {
    if (input._tag === "Timer") return [input.timer];
    return input._tag === "Request" && input.completes !== null ? [input.completes] : [];
  });
  if (schedule.length + cancel.length + fired.length === 0) return;
  const timers = yield* Timers;
  // In whatever order: a firing that is scheduled anew has another token, and what is canceled is not scheduled.
  yield* Effect.all(
    [
      schedule.length > 0 ? timers.schedule(schedule) : Effect.void,
      cancel.length > 0 ? timers.cancel(cancel) : Effect.void,
      fired.length > 0 ? timers.complete(fired) : Effect.void,
    ],
    { concurrency: "unbounded", discard: true },
  );
});
