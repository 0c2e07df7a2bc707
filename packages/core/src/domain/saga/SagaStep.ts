/**
 * A step of a saga, as data: what it sends, what it awaits, how it is undone, what it comes after. `Saga` declares steps,
 * `SagaRules` refuses wrong ones, `SagaDecider` decides about them; nothing here sends anything.
 *
 * `D` is what the instance remembers, `C` the commands of the aggregate that lives in the coordinator's own transaction.
 */
import type * as Message from "../Message.ts";

export type Kind = "compensatable" | "pivot" | "retriable";

/** What a failure for good does: the saga turns around, or goes on without the step. */
export type Otherwise = "undo" | "goOn";

/** What a reply says of its step. An answer that does not come is unknown, too, and is asked for again. */
export type Outcome<D> =
  | { readonly _tag: "Done"; readonly data: D }
  | Failed
  /** A probe found nothing: it is asked again under the same key. */
  | { readonly _tag: "Unknown" };

export interface Failed {
  readonly _tag: "Failed";
  readonly reason: string;
  /** It may succeed in a new round. */
  readonly isTransient: boolean;
}

/** A failure reply and what it says. */
export interface FailedReply {
  readonly type: Message.AnyType;
  readonly read: (envelope: Message.Envelope) => Failed | null;
}

interface Common<D> {
  readonly name: string;
  readonly kind: Kind;
  /** Names of the steps that have to be done, skipped or passed over before this one begins. They are declared before it. */
  readonly after: ReadonlyArray<string>;
  /** Asked once, when its turn comes; null: always. */
  readonly when: ((data: D) => boolean) | null;
  readonly otherwise: Otherwise;
  /** Message types that this step awaits, those of its undo and its probe included. */
  readonly awaits: ReadonlyArray<Message.AnyType>;
}

/** Sends a command, awaits a reply. */
export interface RemoteStep<D> extends Common<D> {
  readonly _tag: "Remote";
  readonly sends: Message.AnyType;
  readonly command: (data: D, options: Message.DraftOptions) => Message.Draft;
  readonly done: Message.AnyType;
  /** None: it cannot fail for good. */
  readonly failures: ReadonlyArray<Message.AnyType>;
  /** What a reply says; null if the message is not about this step. */
  readonly read: (data: D, envelope: Message.Envelope) => Outcome<D> | null;
  /** Its success as others than the asker hear it: kept as JSON, used when it is needed. */
  readonly reply: Early<D>;
  readonly undo: Undo<D> | null;
  /** Why there is no undo. */
  readonly noUndo: string | null;
  /** Asked instead of the command when no answer came: for calls that may have been done and are not to be repeated. */
  readonly probe: Probe<D> | null;
  /** How long an answer may take before the step is asked again under the same key, in milliseconds. */
  readonly timeoutMillis: number;
  /** Compensatable: how often it is asked before the saga gives up with `timeoutReason` and undoes it. */
  readonly attemptsMax: number;
  readonly timeoutReason: string;
  readonly retry: Retry | null;
  readonly retryOn: RetryOn<D> | null;
}

/** A command to the aggregate in the coordinator's transaction: answered at once. */
export interface LocalStep<D, C> extends Common<D> {
  readonly _tag: "Local";
  readonly local: (data: D) => C;
  /** The reason to turn around if the aggregate refuses. */
  readonly refused: string;
}

/** Sends nothing, awaits a message from outside, which may be there before its turn. */
export interface SignalStep<D> extends Common<D> {
  readonly _tag: "Signal";
  readonly done: Message.AnyType;
  readonly failures: ReadonlyArray<Message.AnyType>;
  readonly early: Early<D>;
  /** How long it is waited for from its turn on, in milliseconds; null: as long as it takes. */
  readonly timeoutMillis: number | null;
  readonly timeoutReason: string;
}

export type Step<D, C> = RemoteStep<D> | LocalStep<D, C> | SignalStep<D>;

export interface Undo<D> {
  readonly sends: Message.AnyType;
  readonly command: (data: D, options: Message.DraftOptions) => Message.Draft;
  readonly done: Message.AnyType;
  /** Refused for good: the saga rests in `compensationFailed` until a person acts (G8). */
  readonly refused: Message.AnyType | null;
}

export interface Probe<D> {
  readonly sends: Message.AnyType;
  readonly command: (data: D, options: Message.DraftOptions) => Message.Draft;
  /** The command never arrived. */
  readonly unseen: Message.AnyType;
}

/** New rounds after a transient failure. */
export interface Retry {
  /** Rounds in all, the first one included. */
  readonly rounds: number;
  /** First and longest pause in front of a new round, in milliseconds; it doubles. */
  readonly firstMillis: number;
  readonly maxMillis: number;
  /** Part of the pause that is spread by the step's key, 0 to 1. */
  readonly jitter: number;
}

/** After a failure for good: waits for a signal (another card) and asks in a new round, before anything is undone. */
export interface RetryOn<D> {
  readonly signal: Message.AnyType;
  readonly early: Early<D>;
  readonly timeoutMillis: number;
  readonly rounds: number;
}

/** How a signal that came before its turn is kept as JSON in the instance, and read. */
export interface Early<D> {
  /** Null if the message is not the signal. */
  readonly keep: (envelope: Message.Envelope) => Kept | null;
  /** Null if its schema reads it no more. */
  readonly use: (data: D, kept: Kept) => Outcome<D> | null;
}

export type Kept = { readonly _tag: "Done"; readonly json: unknown } | Failed;
