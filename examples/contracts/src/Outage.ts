/**
 * What a caller hears when a service could not do what it was asked.
 * - `overloaded`, `unavailable`: nothing happened, or what did is undone without the caller.
 * - `outcome_unknown`: nobody knows. The same request under the same key gets its answer; one without a key is a new one.
 */
import type { Mailbox } from "@org/saga-core";
import { Effect } from "effect";
import * as Problem from "./Problem.ts";

export type Outage = Problem.Overloaded | Problem.Unavailable | Problem.OutcomeUnknown;

/** A request that is poisonous is a bug here, not an outage. */
export const told = <A, R>(asked: Effect.Effect<A, Mailbox.Failure, R>): Effect.Effect<A, Outage, R> =>
  asked.pipe(
    Effect.catch((failure): Effect.Effect<never, Outage> => {
      switch (failure._tag) {
        case "MailboxFull":
          return Effect.fail(new Problem.Overloaded({ detail: "too many requests are waiting" }));
        case "Poisoned":
          return Effect.die(failure);
        // Of a version that only newer processes know.
        case "LeftAlone":
          return Effect.fail(new Problem.Unavailable({}));
        case "StoreError":
          return Effect.fail(failure.reason === "Unknown" ? new Problem.OutcomeUnknown({}) : new Problem.Unavailable({}));
      }
    }),
  );
