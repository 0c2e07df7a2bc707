/** A saga's definition, as data: what `Saga` declares, `SagaDecider` decides by, and diagrams, checks and fingerprints read. */
import type { Pipeable, Schema } from "effect";
import type * as Message from "../Message.ts";
import type { Step } from "./SagaStep.ts";

/** Why a saga turns around. `reason` is a word that the definition chose. */
export interface Failure {
  readonly step: string;
  readonly reason: string;
}

/** `open`: the pivot is still to be declared. */
export type Phase = "open" | "pivoted";

/**
 * A message for an instance that is not there (a webhook that was faster than the start) changes nothing, or fails alone: a
 * stored inbox tries it again, and it ends among the dead letters.
 */
export type UnknownInstance = "ignore" | "deadLetter";

/** A saga while it is declared; with its pivot it is a definition. */
export interface Draft<D, C, P extends Phase> extends Pipeable.Pipeable {
  readonly name: string;
  readonly version: number;
  readonly phase: P;
  readonly data: Schema.Codec<D, unknown>;
  /** In an order in which each comes after those that it comes `after`. */
  readonly steps: ReadonlyArray<Step<D, C>>;
  /** What the next step comes after. */
  readonly last: ReadonlyArray<string>;
  /** Every message type that instances of this saga await. */
  readonly awaits: ReadonlyArray<Message.AnyType>;
  /** Rest in front of the first step, in milliseconds. */
  readonly startAfterMillis: number;
  /** From the start on, in milliseconds: what is not at its pivot by then is undone with `deadlineReason`. Null: none. */
  readonly deadlineMillis: number | null;
  readonly deadlineReason: string;
  /** First and longest pause between two requests of an undo, in milliseconds. */
  readonly undoRetryMillis: { readonly first: number; readonly max: number };
  /** What becomes of a message for an instance that is not there. */
  readonly unknownInstance: UnknownInstance;
  /** Told to the aggregate when the saga turns around after the pivot. */
  readonly onTurned: (failure: Failure, data: D) => C | null;
  /** Told to the aggregate when everything is undone. `pivoted`: the pivot had been passed. */
  readonly onUndone: (failure: Failure, data: D, pivoted: boolean) => C | null;
  /** A cancel by this word is a failure with this reason. */
  readonly canceled: (by: string) => string;
}

export type Definition<D, C> = Draft<D, C, "pivoted">;
