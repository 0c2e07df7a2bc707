/**
 * Named places where a process may stop, wait or yield. Every memory adapter passes one before and after each port call
 * (`<Port>.<method>.before`, `<Port>.<method>.after`) and one in every gap between two writes (`UnitOfWork.commit.afterCommit`:
 * committed, and the caller never hears of it).
 *
 * By default they do nothing. A simulator provides a `Handler` for a whole process: to yield, to sleep, to interrupt
 * (a crash) or to die there. A fault point never fails with a typed error, so it does not change what a port promises.
 */
import { Context, Effect } from "effect";

/** What happens at the fault point `name`. */
export type Handler = (name: string) => Effect.Effect<void>;

export const Handler: Context.Reference<Handler> = Context.Reference<Handler>("@org/saga-core/memory/FaultPoint/Handler", {
  defaultValue: () => () => Effect.void,
});

/** Passes the fault point `name`. */
export const hit = (name: string): Effect.Effect<void> => Effect.flatMap(Handler, (handler) => handler(name));

/** `call` between `<name>.before` and `<name>.after`. */
export const around = Effect.fnUntraced(function* <A, E, R>(name: string, call: Effect.Effect<A, E, R>): Effect.fn.Return<A, E, R> {
  yield* hit(`${name}.before`);
  const answer = yield* call;
  yield* hit(`${name}.after`);
  return answer;
});
