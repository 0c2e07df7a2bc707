/**
 * Everything that a saga may decide where it stands, by the real decider, and remembered: worlds that differ only in what
 * participants and network do share it.
 */
import type * as Message from "../../Message.ts";
import * as SagaDecider from "../SagaDecider.ts";
import { ATTEMPTS_MAX, DEADLINE_TICKS, TICK_MS, TRANSIENT } from "./AbstractSaga.ts";
import * as Calls from "./Calls.ts";
import * as Laws from "./Laws.ts";
import type { Model } from "./Model.ts";
import { type Kind, KINDS } from "./Participant.ts";
import * as Position from "./Position.ts";

/** What a saga decides upon. `due`: a step's name, or its own time. */
export type Cause =
  | { readonly _tag: "Start" | "Cancel" | "Resume" }
  | { readonly _tag: "Resolve"; readonly step: string }
  | { readonly _tag: "Answer"; readonly call: Calls.Call; readonly kind: Kind }
  | { readonly _tag: "Signal"; readonly type: string }
  | { readonly _tag: "Timer"; readonly due: string; readonly isLast: boolean };

export const NOTHING = "nothing";
export const START = "the start";
export const DEADLINE = "the deadline";

export interface Decision {
  readonly _tag: "Decision";
  readonly cause: Cause;
  /** What data and the aggregate said. */
  readonly answers: ReadonlyArray<string>;
  readonly next: Position.Position;
  readonly sends: ReadonlyArray<{ readonly call: Calls.Call; readonly kind: Kind }>;
  /** Whether there is a timer afterwards that the saga accepts; null: as it was. */
  readonly hasTimer: boolean | null;
  readonly broken: Laws.Broken | null;
}

export interface Decisions {
  readonly none: Position.Position;
  readonly answered: (at: Position.Position, call: Calls.Call, kind: Kind) => ReadonlyArray<Decision>;
  /** Starts, cancels, signals and what an operator does: it may come at any time. */
  readonly unasked: (at: Position.Position) => ReadonlyArray<Decision>;
  /** The timer fires, and something is due. */
  readonly due: (at: Position.Position) => ReadonlyArray<Decision>;
  /** The timer fires, and nothing is due yet. */
  readonly early: (at: Position.Position) => ReadonlyArray<Decision>;
}

export const make = (model: Model): Decisions => {
  const intern = Position.table(model.saga);
  /** By position, and by what it is about. */
  const known: Array<Array<ReadonlyArray<Decision> | undefined>> = [];
  const on = (at: Position.Position, cause: Cause): ReadonlyArray<Decision> => {
    return model.choices
      .each(() => decide(model, at, cause))
      .map(({ value, answers }) => ({ ...value, answers, next: intern(value.next) }));
  };
  const remembered = (at: Position.Position, about: number, causes: () => ReadonlyArray<Cause>): ReadonlyArray<Decision> => {
    const here = (known[at.id] ??= []);
    return (here[about] ??= causes().flatMap((cause) => on(at, cause).filter((decision) => changes(at, decision))));
  };
  const unasked: ReadonlyArray<Cause> = [
    { _tag: "Start" },
    { _tag: "Cancel" },
    { _tag: "Resume" },
    ...signalsOf(model),
    ...resolvesOf(model),
  ];
  return {
    none: intern(null),
    unasked: (at) => remembered(at, 0, () => unasked),
    due: (at) => remembered(at, 1, () => duesOf(model, at)),
    early: (at) => remembered(at, 2, () => [{ _tag: "Timer", due: NOTHING, isLast: false }]),
    answered: (at, call, kind) =>
      remembered(at, 3 + call.index * KINDS.length + KINDS.indexOf(kind), () => [{ _tag: "Answer", call, kind }]),
  };
};

const changes = (at: Position.Position, { next, sends, hasTimer, cause, broken }: Decision): boolean =>
  next !== at || sends.length > 0 || broken !== null || hasTimer !== (cause._tag === "Timer" ? true : null);

const signalsOf = ({ saga }: Model): ReadonlyArray<Cause> => {
  const types = saga.steps.flatMap((step) => {
    if (step._tag === "Signal") return step.awaits;
    return step._tag === "Remote" && step.retryOn !== null ? [step.retryOn.signal] : [];
  });
  return types.map(({ type }) => ({ _tag: "Signal", type }));
};

const resolvesOf = ({ saga }: Model): ReadonlyArray<Cause> =>
  saga.steps.flatMap((step) => (step._tag === "Remote" && step.undo !== null ? [{ _tag: "Resolve", step: step.name }] : []));

/** Each thing for itself: that several are due at once is one after the other, with nothing in between. */
const duesOf = ({ saga }: Model, { instance }: Position.Position): ReadonlyArray<Cause> => {
  const causes: Array<Cause> = [];
  for (const { name } of saga.steps) {
    const state = instance?.steps[name];
    if (state?.dueAt === undefined) continue;
    causes.push({ _tag: "Timer", due: name, isLast: false });
    if (state.status === "sent") causes.push({ _tag: "Timer", due: name, isLast: true });
  }
  if (saga.startAfterMillis > 0) causes.push({ _tag: "Timer", due: START, isLast: false });
  if (saga.deadlineMillis !== null) causes.push({ _tag: "Timer", due: DEADLINE, isLast: false });
  return causes;
};

type Decided = Omit<Decision, "next" | "answers"> & { readonly next: SagaDecider.Instance<null> | null };

/** A saga input, and the aggregate's answers that follow from it in the same transaction. */
const decide = ({ saga, choices, calls, decide: transition }: Model, at: Position.Position, cause: Cause): Decided => {
  let next = instanceAt(at, cause);
  let token: string | null = null;
  let broken: Laws.Broken | null = null;
  let isTimed = cause._tag === "Timer";
  const sends: Array<Decision["sends"][number]> = [];
  const inputs: Array<SagaDecider.Input<null>> = [inputOf(cause)];
  for (let input = inputs.shift(); input !== undefined; input = inputs.shift()) {
    const [moved, asks] = transition(saga, next, input);
    broken ??= Laws.ofDecision(saga, next, input, moved);
    next = moved;
    for (const ask of asks) {
      if (ask._tag === "Schedule" || ask._tag === "Unschedule") {
        isTimed = true;
        token = ask._tag === "Schedule" ? ask.token : null;
      }
      if (ask._tag === "Message") {
        const sent = sentOf(calls, ask.draft);
        if (sent === null)
          broken ??= { law: "UnknownKey", problem: `it asks under the key ${String(ask.draft.stepKey)}, which no step has` };
        else sends.push(sent);
      }
      if (ask._tag === "Local" && ask.step !== null) {
        const accepted = choices.choose([`the aggregate agrees to "${ask.step}"`, `the aggregate refuses "${ask.step}"`]) === 0;
        inputs.push({ _tag: "LocalReply", step: ask.step, accepted, now: Position.NOW });
      }
    }
  }
  const hasTimer = isTimed ? token !== null && token === String(next?.wakes) : null;
  return { _tag: "Decision", cause, next, sends, hasTimer, broken };
};

const sentOf = (calls: ReadonlyArray<Calls.Call>, { stepKey, json }: Message.Draft): Decision["sends"][number] | null => {
  const call = calls.find((candidate) => Calls.keyOf(candidate) === stepKey);
  if (call === undefined || (json !== "do" && json !== "probe" && json !== "undo")) return null;
  return { call, kind: json };
};

/** With what is due in its time, and the attempts that belong to it. */
const instanceAt = ({ instance }: Position.Position, cause: Cause): SagaDecider.Instance<null> | null => {
  if (instance === null || cause._tag !== "Timer") return instance;
  const { due, isLast } = cause;
  if (due === START) return { ...instance, startedAt: Position.NOW - TICK_MS };
  if (due === DEADLINE) return { ...instance, startedAt: Position.NOW - DEADLINE_TICKS * TICK_MS };
  const state = instance.steps[due];
  if (state === undefined) return instance;
  const attempts = isLast ? ATTEMPTS_MAX : state.attempts;
  return { ...instance, steps: { ...instance.steps, [due]: { ...state, dueAt: Position.NOW, attempts } } };
};

const inputOf = (cause: Cause): SagaDecider.Input<null> => {
  const now = Position.NOW;
  switch (cause._tag) {
    case "Start":
      return { _tag: "Start", id: Calls.ID, data: null, now };
    case "Cancel":
      return { _tag: "Cancel", by: "user", now };
    case "Resume":
      return { _tag: "Resume", by: "operator", note: "", now };
    case "Resolve":
      return { _tag: "Resolve", step: cause.step, by: "operator", note: "", now };
    case "Answer":
      return { _tag: "Reply", envelope: envelopeOf(typeOf(cause.call, cause.kind), Calls.keyOf(cause.call), cause.kind), now };
    case "Signal":
      return { _tag: "Reply", envelope: envelopeOf(cause.type, null, "done"), now };
    case "Timer":
      return { _tag: "Timer", name: SagaDecider.WAKE_TIMER, token: "0", now };
  }
};

/** The message type by which a call is asked or answered. */
export const typeOf = ({ step: { sends, done, failures, undo, probe } }: Calls.Call, kind: Kind): string => {
  switch (kind) {
    case "do":
      return sends.type;
    case "probe":
      return probe?.sends.type ?? "";
    case "undo":
      return undo?.sends.type ?? "";
    case "done":
      return done.type;
    case "failed":
    case "transient":
      return failures[0]?.type ?? "";
    case "unseen":
      return probe?.unseen.type ?? "";
    case "undone":
      return undo?.done.type ?? "";
    case "undoRefused":
      return undo?.refused?.type ?? "";
  }
};

const envelopeOf = (type: string, stepKey: string | null, kind: Kind): Message.Envelope => ({
  id: "",
  type,
  topic: "",
  key: "",
  occurredAt: Position.NOW,
  correlationId: "",
  causationId: null,
  stepKey,
  saga: null,
  traceparent: null,
  tracestate: null,
  body: kind === "transient" ? TRANSIENT : null,
});
