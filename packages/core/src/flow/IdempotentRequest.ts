/**
 * What a caller of a mailbox does about idempotency keys besides handing them in: it waits a moment for a first request
 * that is still in flight elsewhere, and looks for the answer of one that it could not even build again.
 *
 * Neither makes anything happen twice: only `CommandHandler.runBatch` claims a key for good, in the commit of its request.
 */
import { Duration, Effect } from "effect";
import { type IdempotencyKey, IdempotencyKeys, type IdempotencyVerdict } from "../ports/IdempotencyKeys.ts";
import { StoreError } from "../ports/StoreError.ts";
import { UnitOfWork } from "../ports/UnitOfWork.ts";
import type { Aggregate } from "./Aggregate.ts";
import type { Handled } from "./CommandHandler.ts";

/** How long a caller waits for a first request in flight, in milliseconds: many times a commit, less than a person's patience. */
export const WAIT_MS = 1_000;

/** Pause before it is asked again, in milliseconds: a few commits. */
export const PAUSE_MS = 25;

/** Asks again while the first request is in flight, for about `WAIT_MS`; then it is `InFlight`, and nothing was done. */
export const settled = <A, E, R>(ask: Effect.Effect<Handled<A>, E, R>): Effect.Effect<Handled<A>, E, R> => {
  const go = (left: number): Effect.Effect<Handled<A>, E, R> =>
    Effect.flatMap(ask, (handled) =>
      handled._tag === "InFlight" && left > 0
        ? Effect.andThen(
            Effect.sleep(Duration.millis(PAUSE_MS)),
            Effect.suspend(() => go(left - 1)),
          )
        : Effect.succeed(handled),
    );
  return go(Math.ceil(WAIT_MS / PAUSE_MS));
};

/**
 * What a request with this key would be answered from the record, without making it: null if it would be the first one.
 * Claims nothing.
 */
export const recorded = Effect.fnUntraced(function* <S, C, A, R>(
  aggregate: Aggregate<S, C, A, R>,
  key: IdempotencyKey,
): Effect.fn.Return<Handled<A> | null, StoreError, UnitOfWork | IdempotencyKeys> {
  const unitOfWork = yield* UnitOfWork;
  const keys = yield* IdempotencyKeys;
  // Rolled back, whatever it says.
  const look = Effect.flatMap(keys.claim([key]), ([verdict]) => Effect.fail(verdict ?? { _tag: "New" as const }));
  const seen: IdempotencyVerdict | StoreError = yield* Effect.flip(unitOfWork.commit(look));
  if (seen instanceof StoreError) return yield* seen;
  switch (seen._tag) {
    case "New":
      return null;
    case "Repeated":
      return { _tag: "Answered", answer: aggregate.decodeAnswer(seen.answer), repeated: true };
    case "Mismatch":
      return { _tag: "KeyReused" };
    case "InFlight":
      return { _tag: "InFlight" };
  }
});
