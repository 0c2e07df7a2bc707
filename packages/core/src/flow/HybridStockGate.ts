/**
 * Two engines decide in one process, and it looks like one: which of them waits for which.
 *
 * - Who settles (the ledger first, then the log) waits for the reservations that are being decided, and keeps back those
 *   of its own orders until it is done. The others go on beside it: whatever it gives back is theirs a little later.
 * - What takes units in the ledger (goods counted out, a commit that needs fresh stock) keeps all reservations back: it does
 *   not `open` the gate.
 */
import { Effect, Latch, Semaphore } from "effect";
import type { OrderId } from "../domain/order/OrderId.ts";

export interface Gate {
  readonly reserve: <A, E>(orders: ReadonlySet<OrderId>, use: Effect.Effect<A, E>) => Effect.Effect<A, E>;
  /** One at a time. */
  readonly settle: <A, E>(orders: ReadonlySet<OrderId>, use: (open: Effect.Effect<void>) => Effect.Effect<A, E>) => Effect.Effect<A, E>;
}

export const make: Effect.Effect<Gate> = Effect.map(Semaphore.make(1), (semaphore) => {
  const nobody: ReadonlySet<OrderId> = new Set();
  const done = Latch.makeUnsafe(true);
  let settling = nobody;

  const reserve: Gate["reserve"] = (orders, use) => {
    const attempt = semaphore.withPermits(1)(
      Effect.suspend(() => (![...orders].some((orderId) => settling.has(orderId)) ? Effect.asSome(use) : Effect.succeedNone)),
    );
    return Effect.flatMap(attempt, (found) =>
      found._tag === "Some"
        ? Effect.succeed(found.value)
        : Effect.andThen(
            done.await,
            Effect.suspend(() => reserve(orders, use)),
          ),
    );
  };

  const settle: Gate["settle"] = (orders, use) =>
    Effect.uninterruptibleMask((restore) =>
      Effect.gen(function* () {
        yield* restore(semaphore.take(1));
        let isOpen = false;
        const open = Effect.suspend(() => {
          if (isOpen) return Effect.void;
          isOpen = true;
          return Effect.asVoid(semaphore.release(1));
        });
        settling = orders;
        done.closeUnsafe();
        const end = Effect.suspend(() => {
          settling = nobody;
          done.openUnsafe();
          return open;
        });
        return yield* Effect.ensuring(restore(use(open)), end);
      }),
    );

  return { reserve, settle };
});
