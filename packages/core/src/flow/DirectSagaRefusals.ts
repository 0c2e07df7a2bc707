/**
 * Outcomes of a `DirectSaga`'s functions that are refused for good: by the database, or by a bug in what is made of them. The
 * instance stays where it is, its timer asks again, and most likely the same is refused again.
 *
 * So a function is called again ever more rarely: after one timeout of its step, then two, four, … up to `PAUSE_MAX_MS`. It is
 * called at the first asking after its process started anew.
 */
import { Duration } from "effect";
import { pauseMillis } from "../domain/saga/SagaUndo.ts";
import * as Batch from "./Batch.ts";
import type { Failure } from "./Mailbox.ts";
import type { Ask } from "./DirectSagaAggregate.ts";

/** Longest pause before a function whose outcome is refused is called again, in milliseconds; a longer timeout stands. */
export const PAUSE_MAX_MS = 300_000;

/** Calls that are remembered. The oldest is forgotten, and called again sooner. */
const REMEMBERED_MAX = 10_000;

export interface Refusals {
  /** Whether a call that is asked for is made now. */
  readonly isCalled: (ask: Ask) => boolean;
  /** An outcome was not written. What there is to log: never what is in it. */
  readonly unwritten: (saga: string, instance: string, ask: Ask, failure: Failure) => string;
  readonly written: (ask: Ask) => void;
}

export const make = (): Refusals => {
  /** By the key of the call. */
  const known = new Map<string, { readonly times: number; left: number }>();

  /** The pause until the next call, in milliseconds. */
  const refused = ({ key, timeoutMillis }: Ask): number => {
    const times = (known.get(key)?.times ?? 0) + 1;
    const timeouts = Math.floor(pauseMillis(timeoutMillis, Math.max(timeoutMillis, PAUSE_MAX_MS), times) / timeoutMillis);
    known.set(key, { times, left: timeouts - 1 });
    for (const oldest of known.keys()) {
      if (known.size <= REMEMBERED_MAX) break;
      known.delete(oldest);
    }
    return timeouts * timeoutMillis;
  };

  return {
    isCalled: ({ key }) => {
      const refusal = known.get(key);
      if (refusal === undefined || refusal.left === 0) return true;
      refusal.left -= 1;
      return false;
    },
    unwritten: (saga, instance, ask, failure) => {
      const what = `saga "${saga}", instance "${instance}", step "${ask.step}": an outcome of "${ask.draft.type}" could not be written`;
      if (failure._tag !== "Poisoned") return `${what}: ${failure.message}. Its timer asks again`;
      const pause = Duration.format(Duration.millis(refused(ask)));
      return `${what}: ${Batch.saidOf(failure)}. The same is refused again: what the function answers, or what the definition makes of it, has to change. It is called again in about ${pause}`;
    },
    written: ({ key }) => void known.delete(key),
  };
};
