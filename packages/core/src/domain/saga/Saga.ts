/**
 * A saga, declared once: named steps with what they send, what they await and how they are undone.
 *
 * Steps are compensatable up to the one pivot, and retriable after it. `Saga.make` refuses a definition that could leave
 * something undone: no pivot or two, a compensatable step without an undo or a stated reason, a name used twice.
 *
 * A definition is data and pure functions. `SagaDecider` decides what happens next; nothing here sends anything.
 *
 * `D` is what the instance remembers, `C` the commands of the aggregate that lives in the coordinator's own transaction
 * (the order), for steps that need no message.
 */
import { Result } from "effect";
import type * as Message from "../Message.ts";

export type Kind = "compensatable" | "pivot" | "retriable";

/** Why a saga turns around. `reason` is a word that the definition chose. */
export interface Failure {
  readonly step: string;
  readonly reason: string;
}

/** Sends a command, awaits a reply. */
export interface RemoteStep<D> {
  readonly _tag: "Remote";
  readonly name: string;
  readonly kind: Kind;
  readonly sends: Message.AnyType;
  readonly command: (data: D, options: Message.DraftOptions) => Message.Draft;
  /** `data` after a success reply; null if the message is not this step's success. */
  readonly done: (data: D, envelope: Message.Envelope) => { readonly data: D } | null;
  /** Why it failed for good; null if the message is not this step's failure. */
  readonly failed: (envelope: Message.Envelope) => string | null;
  /** Types that this step awaits, its undo included. */
  readonly awaits: ReadonlyArray<Message.AnyType>;
  readonly undo: Undo<D> | null;
  /** How long an answer may take before the step is asked again under the same key, in milliseconds. */
  readonly timeoutMillis: number;
  /** Compensatable: how often it is asked before the saga gives up with `timeoutReason` and undoes it. */
  readonly attemptsMax: number;
  readonly timeoutReason: string;
}

/** A command to the aggregate in the coordinator's transaction: answered at once. */
export interface LocalStep<D, C> {
  readonly _tag: "Local";
  readonly name: string;
  readonly kind: Kind;
  readonly local: (data: D) => C;
  /** The reason to turn around if the aggregate refuses. */
  readonly refused: string;
}

export interface Undo<D> {
  readonly command: (data: D, options: Message.DraftOptions) => Message.Draft;
  readonly isDone: (envelope: Message.Envelope) => boolean;
  /** Refused for good: the saga rests in `compensationFailed` until a person acts (G8). */
  readonly isRefused: (envelope: Message.Envelope) => boolean;
}

export type Step<D, C> = RemoteStep<D> | LocalStep<D, C>;

export interface Definition<D, C> {
  readonly name: string;
  readonly version: number;
  readonly steps: ReadonlyArray<Step<D, C>>;
  /** Every message type that instances of this saga await. */
  readonly awaits: ReadonlyArray<Message.AnyType>;
  /** Rest in front of the first step, in milliseconds. */
  readonly startAfterMillis: number;
  /** First and longest pause between two requests of an undo, in milliseconds. */
  readonly undoRetryMillis: { readonly first: number; readonly max: number };
  /** Told to the aggregate when the saga turns around after the pivot. */
  readonly onTurned: (failure: Failure, data: D) => C | null;
  /** Told to the aggregate when everything is undone. `pivoted`: the pivot had been passed. */
  readonly onUndone: (failure: Failure, data: D, pivoted: boolean) => C | null;
  /** A cancel by this word is a failure with this reason. */
  readonly canceled: (by: string) => string;
}

export interface RemoteOptions<D, B, DoneB> {
  readonly kind: Kind;
  readonly send: Message.MessageType<B>;
  readonly with: (data: D) => B;
  readonly done: Message.MessageType<DoneB>;
  readonly onDone?: (data: D, reply: DoneB) => D;
  readonly failed: ReadonlyArray<FailedReply>;
  readonly undo: Undo<D> | { readonly none: string };
  readonly undoAwaits?: ReadonlyArray<Message.AnyType>;
  readonly timeoutMillis: number;
  readonly attemptsMax?: number;
  readonly timeoutReason: string;
}

export interface FailedReply {
  readonly type: Message.AnyType;
  readonly reason: (envelope: Message.Envelope) => string | null;
}

/** A failure reply and the reason it stands for. */
export const failedBy = <B>(type: Message.MessageType<B>, reason: (body: B) => string): FailedReply => ({
  type,
  reason: (envelope) => (type.is(envelope) ? reason(envelope.body) : null),
});

/** An undo: the command to send, the reply that confirms it, and the one that refuses it for good. */
export const undoBy = <D, B, DoneB>(options: {
  readonly send: Message.MessageType<B>;
  readonly with: (data: D) => B;
  readonly done: Message.MessageType<DoneB>;
  readonly refused?: Message.AnyType;
}): Undo<D> => ({
  command: (data, draft) => options.send.draft(options.with(data), draft),
  isDone: (envelope) => options.done.is(envelope),
  isRefused: (envelope) => options.refused !== undefined && envelope.type === options.refused.type,
});

/** How often a compensatable step is asked before it counts as failed, unless it says otherwise. */
export const ATTEMPTS_MAX = 3;

export const remote = <D, B, DoneB>(name: string, options: RemoteOptions<D, B, DoneB>): RemoteStep<D> => ({
  _tag: "Remote",
  name,
  kind: options.kind,
  sends: options.send,
  command: (data, draft) => options.send.draft(options.with(data), draft),
  done: (data, envelope) =>
    options.done.is(envelope) ? { data: options.onDone === undefined ? data : options.onDone(data, envelope.body) } : null,
  failed: (envelope) => {
    for (const reply of options.failed) {
      const reason = reply.reason(envelope);
      if (reason !== null) return reason;
    }
    return null;
  },
  awaits: [options.done, ...options.failed.map((reply) => reply.type), ...(options.undoAwaits ?? [])],
  undo: "none" in options.undo ? null : options.undo,
  timeoutMillis: options.timeoutMillis,
  attemptsMax: options.attemptsMax ?? ATTEMPTS_MAX,
  timeoutReason: options.timeoutReason,
});

export const local = <D, C>(
  name: string,
  options: { readonly kind: Kind; readonly command: (data: D) => C; readonly refused: string },
): LocalStep<D, C> => ({ _tag: "Local", name, kind: options.kind, local: options.command, refused: options.refused });

export interface DefinitionError {
  readonly _tag: "DefinitionError";
  readonly saga: string;
  readonly problem: string;
}

export type Parts<D, C> = Omit<Definition<D, C>, "awaits">;

/** The definition, or what is wrong with it and what to do about it. */
export const validate = <D, C>(parts: Parts<D, C>): Result.Result<Definition<D, C>, DefinitionError> => {
  const refuse = (problem: string): Result.Result<never, DefinitionError> =>
    Result.fail({ _tag: "DefinitionError", saga: parts.name, problem });
  const names = new Set<string>();
  for (const step of parts.steps) {
    if (names.has(step.name)) return refuse(`two steps are named "${step.name}": give each its own name`);
    names.add(step.name);
  }
  const pivots = parts.steps.filter((step) => step.kind === "pivot");
  if (pivots.length !== 1) return refuse(`it has ${pivots.length} pivots: declare exactly one step as the point of no return`);
  const pivot = parts.steps.findIndex((step) => step.kind === "pivot");
  for (const [index, step] of parts.steps.entries()) {
    if (index < pivot && step.kind !== "compensatable") return refuse(`"${step.name}" stands before the pivot: make it compensatable`);
    if (index > pivot && step.kind !== "retriable") return refuse(`"${step.name}" stands after the pivot: make it retriable`);
    if (step._tag === "Remote" && step.timeoutMillis <= 0) return refuse(`"${step.name}" needs a timeout above 0 milliseconds`);
  }
  const awaits = new Map<string, Message.AnyType>();
  for (const step of parts.steps) {
    if (step._tag === "Remote") for (const type of step.awaits) awaits.set(type.type, type);
  }
  return Result.succeed({ ...parts, awaits: [...awaits.values()] });
};

/** Like `validate`; throws on a wrong definition, which is a programming error found at start. */
export const make = <D, C>(parts: Parts<D, C>): Definition<D, C> => {
  const valid = validate(parts);
  if (Result.isFailure(valid)) throw new Error(`saga "${parts.name}": ${valid.failure.problem}`);
  return valid.success;
};

/** Longest time from the first request of `from` until `to` is done or given up, in milliseconds: what a hold must outlive. */
export const worstCaseMillis = <D, C>(definition: Definition<D, C>, from: string, to: string): number => {
  const first = definition.steps.findIndex((step) => step.name === from);
  const last = definition.steps.findIndex((step) => step.name === to);
  let total = 0;
  for (const step of definition.steps.slice(first, last + 1)) {
    if (step._tag === "Remote") total += step.timeoutMillis * step.attemptsMax;
  }
  return total;
};
