/** What an instance of a saga is, what happens to it, and what it asks the world to do. */
import type * as Message from "../Message.ts";
import type { Timestamp } from "../Timestamp.ts";
import type { Definition, Failure } from "./SagaDefinition.ts";
import type { Kept } from "./SagaStep.ts";

export type Status = "running" | "compensating" | "completed" | "compensated" | "compensationFailed";

/**
 * `waiting`: failed in this round; there will be another one after a pause or a signal, or it fails for good.
 * `skipped`: its condition did not hold. `failed`: for good, and nothing of it is left to undo.
 */
export type StepStatus = "pending" | "skipped" | "sent" | "waiting" | "done" | "failed" | "undoing" | "undone" | "undoRefused";

export interface StepState {
  readonly status: StepStatus;
  /** Grows after a definite failure only. Part of the key: `<instance>:<step>:<round>`. */
  readonly round: number;
  /** How often do or undo was asked in this round. */
  readonly attempts: number;
  /** When it is asked again, or given up. Absent: nothing is awaited, or it was asked by 0.1.0. */
  readonly dueAt?: Timestamp;
  /** Why it is `waiting`, and for what. */
  readonly waits?: { readonly for: "pause" | "signal"; readonly reason: string };
  /** A signal that came before its turn. */
  readonly kept?: Kept;
}

/** What a person did to an instance. */
export interface AuditEntry {
  readonly at: Timestamp;
  readonly action: "resume" | "resolve";
  /** Null: all that was refused. */
  readonly step: string | null;
  readonly by: string;
  readonly note: string;
}

export interface Instance<D> {
  readonly saga: string;
  readonly version: number;
  readonly id: string;
  readonly status: Status;
  readonly data: D;
  readonly steps: { readonly [name: string]: StepState };
  readonly failure: Failure | null;
  readonly startedAt: Timestamp;
  /** When the timer fires; null: there is none. */
  readonly wakeAt: Timestamp | null;
  /** How often the timer was written; its token. */
  readonly wakes: number;
  /** Oldest first, the latest `AUDIT_MAX`. Absent: nothing. */
  readonly audit?: ReadonlyArray<AuditEntry>;
}

/** Entries that an instance keeps: a person looks at each failed undo a few times, not a hundred. */
export const AUDIT_MAX = 100;

export type Input<D> =
  | { readonly _tag: "Start"; readonly id: string; readonly data: D; readonly now: Timestamp }
  | { readonly _tag: "Reply"; readonly envelope: Message.Envelope; readonly now: Timestamp }
  | { readonly _tag: "LocalReply"; readonly step: string; readonly accepted: boolean; readonly now: Timestamp }
  | { readonly _tag: "Timer"; readonly name: string; readonly token: string; readonly now: Timestamp }
  | { readonly _tag: "Cancel"; readonly by: string; readonly now: Timestamp }
  /** An operator asks for what is left to be undone again. */
  | { readonly _tag: "Resume"; readonly by?: string; readonly note?: string; readonly now: Timestamp }
  /** An operator says that a refused undo was done by hand; what is left is undone. */
  | { readonly _tag: "Resolve"; readonly step: string; readonly by: string; readonly note: string; readonly now: Timestamp };

export type Send<C> =
  /** `answerBy`: when it is asked again, or given up. */
  | { readonly _tag: "Message"; readonly draft: Message.Draft; readonly answerBy: Timestamp }
  /** To the aggregate in this transaction. `step`: its answer comes back as `LocalReply`; null: told, not asked. */
  | { readonly _tag: "Local"; readonly step: string | null; readonly command: C }
  | { readonly _tag: "Schedule"; readonly name: string; readonly token: string; readonly at: Timestamp }
  | { readonly _tag: "Unschedule"; readonly name: string };

export type Transition<D, C> = readonly [next: Instance<D>, send: ReadonlyArray<Send<C>>];

/** What stands in place of a step's name in the failure of a saga that no step turned around. */
export const START = "start";

const PENDING: StepState = { status: "pending", round: 1, attempts: 0 };

export const stateOf = (instance: Pick<Instance<unknown>, "steps">, step: string): StepState => instance.steps[step] ?? PENDING;

/** The round stays, and a kept signal while it may be wanted; whatever else is not named ends. */
export const withStep = <D>(instance: Instance<D>, step: string, change: Partial<StepState> & Pick<StepState, "status">): Instance<D> => {
  const { round, kept } = stateOf(instance, step);
  const isWanted = kept !== undefined && (change.status === "sent" || change.status === "waiting");
  const state: StepState = isWanted ? { round, attempts: 0, kept, ...change } : { round, attempts: 0, ...change };
  return { ...instance, steps: { ...instance.steps, [step]: state } };
};

/** `<instance>:<step>:<round>`: the key under which a step is done at most once, and undone. */
export const stepKey = <D>(instance: Instance<D>, step: string): string => `${instance.id}:${step}:${stateOf(instance, step).round}`;

/** What a step's messages carry. */
export const keysOf = <D>(instance: Instance<D>, step: string): Message.DraftOptions => ({
  stepKey: stepKey(instance, step),
  saga: `${instance.saga}@${instance.version}`,
});

export const isAtRest = <D>(instance: Instance<D>): boolean => instance.status !== "running" && instance.status !== "compensating";

/** Nothing was begun. */
export const isUntouched = <D>(instance: Instance<D>): boolean => {
  for (const name in instance.steps) if (instance.steps[name]?.status !== "pending") return false;
  return instance.status === "running";
};

/** Before the pivot was asked for, a cancel can still undo everything. */
export const canCancel = <D, C>(definition: Definition<D, C>, instance: Instance<D>): boolean => {
  if (instance.status !== "running") return false;
  for (const { kind, name } of definition.steps) {
    const { status } = stateOf(instance, name);
    if (kind !== "compensatable" && status !== "pending" && status !== "waiting") return false;
  }
  return true;
};

/** Whether the pivot was done, and perhaps undone since. */
export const isPivoted = <D, C>(definition: Definition<D, C>, instance: Instance<D>): boolean => {
  for (const { kind, name } of definition.steps) {
    if (kind !== "pivot") continue;
    const { status } = stateOf(instance, name);
    return status === "done" || status === "undoing" || status === "undone" || status === "undoRefused";
  }
  return false;
};
