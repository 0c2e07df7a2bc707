/**
 * How a step that waits for a message from outside is declared, and what becomes of the declaration.
 *
 * A signal has no step key: it is matched by its type. One that comes early is kept in the instance as JSON, and read when it
 * is wanted; the latest counts.
 */
import { type Duration, Result } from "effect";
import type * as Message from "../Message.ts";
import * as SagaRules from "./SagaRules.ts";
import type { Early, FailedReply, Kind, Otherwise, SignalStep } from "./SagaStep.ts";

export type Options<D, R> = {
  readonly on: Message.MessageType<R>;
  readonly onDone?: (data: D, body: NoInfer<R>) => D;
  readonly when?: (data: D) => boolean;
} & (
  | { readonly timeout?: never; readonly failed?: never; readonly otherwise?: never }
  | {
      readonly timeout?: Duration.Input;
      readonly timeoutReason?: string;
      readonly failed?: ReadonlyArray<FailedReply>;
      readonly otherwise: Otherwise;
    }
);

interface AnyOptions<D, R> {
  readonly on: Message.MessageType<R>;
  readonly onDone?: (data: D, body: NoInfer<R>) => D;
  readonly when?: (data: D) => boolean;
  readonly timeout?: Duration.Input;
  readonly timeoutReason?: string;
  readonly failed?: ReadonlyArray<FailedReply>;
  readonly otherwise?: Otherwise;
}

export const make = <D, R>(name: string, kind: Kind, after: ReadonlyArray<string>, options: AnyOptions<D, R>): SignalStep<D> => {
  const { on, onDone = (data: D) => data, failed = [] } = options;
  return {
    _tag: "Signal",
    name,
    kind,
    after,
    when: options.when ?? null,
    otherwise: options.otherwise ?? "undo",
    awaits: [on, ...failed.map(({ type }) => type)],
    done: on,
    failures: failed.map(({ type }) => type),
    early: early(on, onDone, failed),
    timeoutMillis: options.timeout === undefined ? null : SagaRules.millisOf(options.timeout),
    timeoutReason: options.timeoutReason ?? "timeout",
  };
};

/** How a signal is kept, and what it says when it is read. */
export const early = <D, R>(
  on: Message.MessageType<R>,
  onDone: (data: D, body: NoInfer<R>) => D,
  failed: ReadonlyArray<FailedReply>,
): Early<D> => ({
  keep: (envelope) => {
    if (on.is(envelope)) return { _tag: "Done", json: on.encode(envelope.body) };
    for (const reply of failed) {
      const outcome = reply.read(envelope);
      if (outcome !== null) return outcome;
    }
    return null;
  },
  use: (data, kept) => {
    if (kept._tag === "Failed") return kept;
    const body = on.decode(kept.json);
    return Result.isSuccess(body) ? { _tag: "Done", data: onDone(data, body.success) } : null;
  },
});
