/** How a step that sends a command and awaits a reply is declared, and what becomes of the declaration. */
import type { Duration } from "effect";
import type * as Message from "../Message.ts";
import * as SagaDeclared from "./SagaDeclared.ts";
import * as SagaRules from "./SagaRules.ts";
import * as SignalStep from "./SignalStep.ts";
import type { FailedReply, Kind, Otherwise, Probe, RemoteStep, Retry, RetryOn } from "./SagaStep.ts";

/** How often a compensatable step is asked before it counts as failed, unless it says otherwise. */
export const ATTEMPTS_MAX = 3;

/** How long an answer may take, in milliseconds, unless the step says otherwise. */
export const TIMEOUT_MS = 10_000;

/** Rounds in all of a step that waits for a signal after a failure, unless it says otherwise. */
export const SIGNAL_ROUNDS_MAX = 3;

/** What part of a pause is spread by the step's key, unless the step says otherwise: instances that failed together do not come back together. */
export const JITTER = 0.2;

/** A failure reply and the reason it stands for. A transient one is tried again in a new round, if the step has a `retry`. */
export const failedBy = <B>(
  type: Message.MessageType<B>,
  reason: (body: B) => string,
  isTransient: (body: B) => boolean = () => false,
): FailedReply => {
  const problem = SagaDeclared.ofFailedBy(type, reason);
  if (problem !== null) throw new Error(problem);
  return {
    type,
    read: (envelope) => {
      if (!type.is(envelope)) return null;
      return { _tag: "Failed", reason: reason(envelope.body), isTransient: isTransient(envelope.body) };
    },
  };
};

interface Options<D, B, R, PB, SB> {
  readonly send: Message.MessageType<B>;
  readonly with: (data: D) => NoInfer<B>;
  readonly done: Message.MessageType<R>;
  readonly onDone?: (data: D, reply: NoInfer<R>) => D;
  /** How long an answer may take before the step is asked again under the same key. */
  readonly timeout?: Duration.Input;
  /**
   * For a call that is not to be repeated blindly: asked under the step's key in place of the command when no answer came. It is
   * answered as the step is, or by `unseen`: the command never arrived, and is sent again.
   */
  readonly probe?: ProbeOptions<D, PB>;
  /** New rounds after a transient failure. */
  readonly retry?: RetryOptions;
  /** After a failure for good: waits for a signal, and asks in a new round with what it brought. */
  readonly retryOnSignal?: RetryOnOptions<D, SB>;
}

export interface ProbeOptions<D, PB> {
  readonly send: Message.MessageType<PB>;
  readonly with: (data: D) => NoInfer<PB>;
  readonly unseen: Message.AnyType;
}

export interface RetryOptions {
  readonly rounds: number;
  readonly first: Duration.Input;
  readonly max: Duration.Input;
  readonly jitter?: number;
}

export interface RetryOnOptions<D, SB> {
  readonly signal: Message.MessageType<SB>;
  readonly onSignal: (data: D, body: NoInfer<SB>) => D;
  readonly within: Duration.Input;
  readonly rounds?: number;
}

/** The command to send, the reply that confirms it, and the one that refuses it for good; or why there is none. */
export type UndoOptions<D, U> =
  | {
      readonly send: Message.MessageType<U>;
      readonly with: (data: D) => NoInfer<U>;
      readonly done: Message.AnyType;
      readonly refused?: Message.AnyType;
    }
  | { readonly none: string };

export interface CompensatableOptions<D, B, R, U, PB, SB> extends Options<D, B, R, PB, SB> {
  readonly failed?: ReadonlyArray<FailedReply>;
  readonly undo: UndoOptions<D, U>;
  readonly when?: (data: D) => boolean;
  /** How often it is asked before it is given up and undone. */
  readonly attempts?: number;
  /** The reason when it is given up. */
  readonly timeoutReason?: string;
}

export interface PivotOptions<D, B, R, U, PB, SB> extends Options<D, B, R, PB, SB> {
  readonly failed?: ReadonlyArray<FailedReply>;
  readonly undo: UndoOptions<D, U>;
}

export type RetriableOptions<D, B, R, U, PB, SB> = Options<D, B, R, PB, SB> & {
  readonly undo?: UndoOptions<D, U>;
  readonly when?: (data: D) => boolean;
} & (
    | { readonly failed?: never; readonly otherwise?: never }
    | { readonly failed: ReadonlyArray<FailedReply>; readonly otherwise: Otherwise }
  );

export interface AnyOptions<D, B, R, U, PB, SB> extends Options<D, B, R, PB, SB> {
  readonly failed?: ReadonlyArray<FailedReply>;
  readonly otherwise?: Otherwise;
  readonly undo?: UndoOptions<D, U>;
  readonly when?: (data: D) => boolean;
  readonly attempts?: number;
  readonly timeoutReason?: string;
}

export const make = <D, B, R, U, PB, SB>(
  name: string,
  kind: Kind,
  after: ReadonlyArray<string>,
  options: AnyOptions<D, B, R, U, PB, SB>,
): RemoteStep<D> => {
  const { send, failed = [], undo, probe, retryOnSignal } = options;
  return {
    _tag: "Remote",
    name,
    kind,
    after,
    when: options.when ?? null,
    otherwise: options.otherwise ?? "undo",
    sends: send,
    command: (data, draft) => send.draft(options.with(data), draft),
    read: readOf(options, failed),
    reply: replyOf(options),
    done: options.done,
    failures: failed.map(({ type }) => type),
    awaits: [
      options.done,
      ...failed.map(({ type }) => type),
      ...(probe === undefined ? [] : [probe.unseen]),
      ...(undo === undefined || "none" in undo ? [] : [undo.done, ...(undo.refused === undefined ? [] : [undo.refused])]),
      ...(retryOnSignal === undefined ? [] : [retryOnSignal.signal]),
    ],
    ...undoOf(undo),
    probe: probe === undefined ? null : probeOf(probe),
    timeoutMillis: SagaRules.millisOf(options.timeout ?? TIMEOUT_MS),
    attemptsMax: options.attempts ?? ATTEMPTS_MAX,
    timeoutReason: options.timeoutReason ?? "timeout",
    retry: options.retry === undefined ? null : retryOf(options.retry),
    retryOn: retryOnSignal === undefined ? null : retryOnOf(retryOnSignal),
  };
};

const readOf =
  <D, B, R, PB, SB>(options: Options<D, B, R, PB, SB>, failed: ReadonlyArray<FailedReply>): RemoteStep<D>["read"] =>
  (data, envelope) => {
    const { done, onDone, probe } = options;
    if (done.is(envelope)) return { _tag: "Done", data: onDone === undefined ? data : onDone(data, envelope.body) };
    for (const reply of failed) {
      const outcome = reply.read(envelope);
      if (outcome !== null) return outcome;
    }
    return probe !== undefined && envelope.type === probe.unseen.type ? { _tag: "Unknown" } : null;
  };

/** A success that nothing is remembered of is kept without its body. */
const replyOf = <D, B, R, PB, SB>({ done, onDone }: Options<D, B, R, PB, SB>): RemoteStep<D>["reply"] =>
  onDone === undefined
    ? {
        keep: (envelope) => (done.is(envelope) ? { _tag: "Done", json: null } : null),
        use: (data, kept) => (kept._tag === "Done" ? { _tag: "Done", data } : kept),
      }
    : SignalStep.early(done, onDone, []);

const undoOf = <D, U>(undo: UndoOptions<D, U> | undefined): Pick<RemoteStep<D>, "undo" | "noUndo"> => {
  if (undo === undefined) return { undo: null, noUndo: null };
  if ("none" in undo) return { undo: null, noUndo: undo.none };
  const { send, done, refused = null } = undo;
  return { undo: { sends: send, command: (data, draft) => send.draft(undo.with(data), draft), done, refused }, noUndo: null };
};

const probeOf = <D, PB>({ send, with: body, unseen }: ProbeOptions<D, PB>): Probe<D> => ({
  sends: send,
  command: (data, draft) => send.draft(body(data), draft),
  unseen,
});

const retryOf = ({ rounds, first, max, jitter = JITTER }: RetryOptions): Retry => ({
  rounds,
  firstMillis: SagaRules.millisOf(first),
  maxMillis: SagaRules.millisOf(max),
  jitter,
});

const retryOnOf = <D, SB>({ signal, onSignal, within, rounds = SIGNAL_ROUNDS_MAX }: RetryOnOptions<D, SB>): RetryOn<D> => ({
  signal,
  early: SignalStep.early(signal, onSignal, []),
  timeoutMillis: SagaRules.millisOf(within),
  rounds,
});
