/**
 * One step of a saga at its participant, where doing it is a call to somebody outside: what is to be called next, and what is
 * known. A decision as `[next, wants]`; nothing here calls anyone.
 *
 * ```
 *            ┌────────── not there, for sure ─────────┐
 *            ▼                                        │
 * asked ──▶ due ──recorded──▶ called ──no answer──▶ unknown ⟲ probed
 *                                │                    │
 *                                └──────▶ done / failed ◀┘ ── undo asked ──▶ the same for the undo ──▶ undone / undoRefused
 * ```
 *
 * Invariants:
 * 1. A call is recorded before it is made. A call that was recorded and has no outcome (an answer that was lost, a process that
 *    died) is probed, never made again, until the other side says for sure that it is not there.
 * 2. "Not there" is sure only after the time within which a call may still arrive there (`settlesWithin`) is over.
 * 3. An undo waits until it is known what became of the step. Of what did not happen nothing is undone, and it will not happen any
 *    more (tombstone).
 * 4. Who asks again is answered as before, or when it is known.
 */
import { Schema } from "effect";
import type { Timestamp } from "../Timestamp.ts";

/** What a step or its undo came to: a message that answers it. */
export const Outcome = Schema.Struct({
  /** Of a step: it happened, so there is something to undo. Of an undo: it is undone. */
  isDone: Schema.Boolean,
  type: Schema.String,
  topic: Schema.String,
  /** JSON value. */
  body: Schema.Unknown,
});
export type Outcome = typeof Outcome.Type;

/** A command as it came, and whom to answer. */
export const Asked = Schema.Struct({ type: Schema.String, body: Schema.Unknown, saga: Schema.NullOr(Schema.String) });
export type Asked = typeof Asked.Type;

const Part = Schema.Literals(["step", "undo"]);
export type Part = typeof Part.Type;

const Work = Schema.Struct({
  part: Part,
  status: Schema.Literals(["due", "called", "unknown"]),
  /** When the call, or its latest probe, was recorded; null: it was never made. */
  calledAt: Schema.NullOr(Schema.Int),
  /** Calls and probes since then that brought no outcome. */
  failures: Schema.Int,
});

export const Attempt = Schema.Struct({
  step: Schema.NullOr(Asked),
  undo: Schema.NullOr(Asked),
  /** What is known of each. A tombstone is an undo that is done and had no step. */
  known: Schema.Struct({ step: Schema.NullOr(Outcome), undo: Schema.NullOr(Outcome) }),
  work: Schema.NullOr(Work),
  /** Grows with every change of the work: the token of its timer. */
  seq: Schema.Int,
});
export type Attempt = typeof Attempt.Type;

export const initial: Attempt = { step: null, undo: null, known: { step: null, undo: null }, work: null, seq: 0 };

/** Times in milliseconds. */
export interface Policy {
  /** Longest time that a recorded call may take; then its process counts as dead. */
  readonly leaseMillis: number;
  /** How long after a call was given up it may still take effect at the other side. */
  readonly settlesWithinMillis: number;
  /** First and longest pause before the other side is asked again. */
  readonly retryMillis: { readonly first: number; readonly max: number };
}

export type Want =
  | { readonly _tag: "Answer"; readonly part: Part; readonly asked: Asked; readonly outcome: Outcome }
  /** `nothing`: the answer of an undo that has nothing to undo, by the participant. */
  | { readonly _tag: "AnswerNothing"; readonly asked: Asked }
  | { readonly _tag: "Wake"; readonly at: Timestamp }
  | { readonly _tag: "Sleep" };

export type Transition = readonly [next: Attempt, wants: ReadonlyArray<Want>];

/** What is to be called now: it is recorded. */
export interface Call {
  readonly part: Part;
  readonly how: "perform" | "probe";
  readonly asked: Asked;
  readonly seq: number;
}

/** What a call or a probe brought. */
export type Finding =
  | { readonly _tag: "Known"; readonly outcome: Outcome }
  /** Of a probe: the other side has never seen it. */
  | { readonly _tag: "NotFound" }
  | { readonly _tag: "Unknown" };

/** The step's command. */
export const ask = (state: Attempt, asked: Asked, now: Timestamp): Transition => {
  const { known } = state;
  // A tombstone, or on its way to be undone: nobody waits for the answer.
  if (state.undo !== null) return [state, []];
  if (known.step !== null) return [state, [{ _tag: "Answer", part: "step", asked, outcome: known.step }]];
  return state.step === null ? begin({ ...state, step: asked }, "step", now) : [state, []];
};

/** The undo's command. */
export const undo = (state: Attempt, asked: Asked, now: Timestamp): Transition => {
  const { known, work } = state;
  if (known.undo !== null) return again(state, asked, known.undo, now);
  if (state.undo !== null) return isNothing(state) ? [state, [{ _tag: "AnswerNothing", asked }]] : [state, []];
  const next = { ...state, undo: asked };
  if (known.step?.isDone === true) return begin(next, "undo", now);
  // Never called, or not there for sure: it will not be.
  if (work === null || work.status === "due") return nothing(next);
  return [next, []];
};

/** An undo that was refused is tried again when somebody asks again: a person who has mended the cause. */
const again = (state: Attempt, asked: Asked, outcome: Outcome, now: Timestamp): Transition =>
  outcome.isDone
    ? [state, [{ _tag: "Answer", part: "undo", asked, outcome }]]
    : begin({ ...state, undo: asked, known: { ...state.known, undo: null } }, "undo", now);

/** The timer of the work: records a call. Null: it is out of date. */
export const fire = (state: Attempt, token: string, policy: Policy, now: Timestamp): readonly [...Transition, Call] | null => {
  const { work, seq } = state;
  const asked = work === null ? null : state[work.part];
  if (work === null || asked === null || token !== tokenOf(state)) return null;
  const how = work.status === "due" ? "perform" : "probe";
  const calledAt = how === "perform" ? now : work.calledAt;
  const next: Attempt = { ...state, seq: seq + 1, work: { ...work, status: "called", calledAt } };
  return [next, [{ _tag: "Wake", at: now + policy.leaseMillis }], { part: work.part, how, asked, seq: next.seq }];
};

/** What the call `seq` brought. */
export const report = (
  state: Attempt,
  { part, seq }: Pick<Call, "part" | "seq">,
  finding: Finding,
  policy: Policy,
  now: Timestamp,
): Transition => {
  const { work } = state;
  if (work === null || work.part !== part) return [state, []];
  // Late, it counts if it happened. A failure does not: a later call may have done better.
  if (seq !== state.seq && !(finding._tag === "Known" && finding.outcome.isDone)) return [state, []];
  if (finding._tag === "Known") return settle(state, part, finding.outcome, now);
  const failures = work.failures + 1;
  const pause = Math.min(policy.retryMillis.max, policy.retryMillis.first * 2 ** Math.min(failures - 1, DOUBLINGS_MAX));
  const sureAt = (work.calledAt ?? now) + policy.leaseMillis + policy.settlesWithinMillis;
  if (finding._tag === "NotFound" && now >= sureAt) {
    if (part === "step" && state.undo !== null) return nothing(state);
    // The same key: what the other side has not seen it cannot have done.
    return wake({ ...state, work: { ...work, status: "due", failures } }, now);
  }
  return wake({ ...state, work: { ...work, status: "unknown", failures } }, now + pause);
};

/** Longest power of two that a pause is multiplied by: beyond every longest pause. */
const DOUBLINGS_MAX = 20;

/** Names the work as it stands; a timer of an earlier one means nothing. */
export const tokenOf = ({ seq }: Attempt): string => String(seq);

const begin = (state: Attempt, part: Part, now: Timestamp): Transition =>
  wake({ ...state, work: { part, status: "due", calledAt: null, failures: 0 } }, now);

const wake = (state: Attempt, at: Timestamp): Transition => [{ ...state, seq: state.seq + 1 }, [{ _tag: "Wake", at }]];

const settle = (state: Attempt, part: Part, outcome: Outcome, now: Timestamp): Transition => {
  const asked = state[part];
  const next: Attempt = { ...state, seq: state.seq + 1, work: null, known: { ...state.known, [part]: outcome } };
  if (part === "step" && state.undo !== null) return outcome.isDone ? begin(next, "undo", now) : nothing(next);
  return [next, [{ _tag: "Sleep" }, ...(asked === null ? [] : [{ _tag: "Answer", part, asked, outcome } as const])]];
};

/** What was asked to be undone did not happen, and will not. */
const nothing = (state: Attempt): Transition => [
  { ...state, seq: state.seq + 1, work: null },
  [{ _tag: "Sleep" }, ...(state.undo === null ? [] : [{ _tag: "AnswerNothing", asked: state.undo } as const])],
];

const isNothing = ({ undo: asked, work, known }: Attempt): boolean => asked !== null && work === null && known.undo === null;
