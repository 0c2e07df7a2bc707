/** Mistakes that deciders, participants and runtimes make, each planted in what `Saga.check` explores. */
import type { Message, SagaDecider } from "@org/saga-core";
import { SagaDecider as Decider } from "@org/saga-core";
import type { AbstractSaga, AbstractStep } from "../../../../src/domain/saga/check/AbstractSaga.ts";
import type { Decide, Model } from "../../../../src/domain/saga/check/Model.ts";
import { receive } from "../../../../src/domain/saga/check/Participant.ts";

type Instance = SagaDecider.Instance<null>;
type Input = SagaDecider.Input<null>;

export type Mistake = (model: Model) => Model;

type Change = (decide: Decide) => Decide;

const decider =
  (change: Change): Mistake =>
  (model) => ({ ...model, decide: change(model.decide) });

/** The decider goes by a definition that is not the one that was declared. */
const misread = (change: (step: AbstractStep) => AbstractStep, when: (instance: Instance | null, input: Input) => boolean = () => true) =>
  decider((decide) => (saga, instance, input) => {
    const read: AbstractSaga = { ...saga, steps: saga.steps.map(change) };
    return decide(when(instance, input) ? read : saga, instance, input);
  });

/** After everything was decided, but for some messages and timers. */
const withhold = (isWithheld: (send: SagaDecider.Send<string>, before: Instance | null, next: Instance | null) => boolean) =>
  decider((decide) => (saga, instance, input) => {
    const [next, sends] = decide(saga, instance, input);
    return [next, sends.filter((send) => !isWithheld(send, instance, next))];
  });

const isOn = (step: string, { stepKey }: { readonly stepKey: string | null }): boolean => stepKey?.split(":")[1] === step;

const withStep = (instance: Instance, name: string, change: Partial<SagaDecider.StepState>): Instance => {
  const state = instance.steps[name] ?? { status: "pending", round: 1, attempts: 0 };
  return { ...instance, steps: { ...instance.steps, [name]: { ...state, ...change } } };
};

const statusOf = (instance: Instance | null, step: string): string => instance?.steps[step]?.status ?? "pending";

export const undoForgotten = (name: string): Mistake =>
  misread((step) => (step._tag === "Remote" && step.name === name ? { ...step, undo: null, noUndo: "forgotten" } : step));

/** The timer's row is removed first, the decision is committed then. */
export const timerAcknowledgedFirst: Mistake = (model) => ({ ...model, torn: ["timer"] });

/** Messages go out, and the state that tells of them is committed then. */
export const sentBeforeCommit: Mistake = (model) => ({ ...model, torn: ["messages"] });

/** The participant answers, and does what it said then, if it lives. */
export const answeredBeforeCommit: Mistake = (model) => ({
  ...model,
  participant: (step, effect, kind) => {
    const ways = receive(step, effect, kind);
    return kind === "do" && effect === "none" ? [...ways, { effect, answer: "done" }] : ways;
  },
});

export const timeoutIgnored: Mistake = decider((decide) => (saga, instance, input) => {
  if (input._tag === "Timer" && instance?.status === "running") return [instance, []];
  return decide(saga, instance, input);
});

/** It is asked again, and nobody looks whether that one is answered. */
export const timerNotRenewed: Mistake = withhold(
  (send, before, next) => send._tag === "Schedule" && before?.status === "compensating" && next?.status === "compensating",
);

/** Whatever comes under the key of an undo is taken for its confirmation. */
export const lateReplyAccepted = (name: string): Mistake =>
  decider((decide) => (saga, instance, input) => {
    if (input._tag !== "Reply" || statusOf(instance, name) !== "undoing" || !isOn(name, input.envelope))
      return decide(saga, instance, input);
    const step = saga.steps.find((each) => each.name === name);
    const type = step?._tag === "Remote" ? (step.undo?.done.type ?? "") : "";
    return decide(saga, instance, { ...input, envelope: { ...input.envelope, type } satisfies Message.Envelope });
  });

/** No answer counts as a failure, and is tried again under a new key. */
export const roundAfterUnknown = (name: string): Mistake =>
  decider((decide) => (saga, instance, input) => {
    const state = instance?.steps[name];
    const isAskedAgain = input._tag === "Timer" && state?.status === "sent" && state.round === 1 && state.dueAt === input.now;
    return decide(saga, instance !== null && isAskedAgain ? withStep(instance, name, { round: 2 }) : instance, input);
  });

export const startedTwice: Mistake = decider(
  (decide) => (saga, instance, input) => decide(saga, input._tag === "Start" ? null : instance, input),
);

/** A cancel is granted whenever it comes. */
export const canceledAfterPivot: Mistake = misread(
  (step) => ({ ...step, kind: "compensatable" }),
  (_, input) => input._tag === "Cancel",
);

/** What is undone before it was done, is done when it arrives. */
export const tombstoneIgnored: Mistake = (model) => ({
  ...model,
  participant: (step, effect, kind) => receive(step, effect === "barred" && kind === "do" ? "none" : effect, kind),
});

/** A command that comes again is done again. */
export const doneAgain: Mistake = (model) => ({
  ...model,
  participant: (step, effect, kind) =>
    effect === "done" && kind === "do" ? [{ effect: "twice", answer: "done" }] : receive(step, effect, kind),
});

/** First things first, also when they are undone. */
export const undoneForwards: Mistake = decider((decide) => (saga, instance, input) => {
  const decided = decide(saga, instance, input);
  if (decided[0]?.status !== "compensating") return decided;
  return decide({ ...saga, steps: saga.steps.map((step) => ({ ...step, after: [] })) }, instance, input);
});

/** Asked often enough, it is given up like any other step. */
export const pivotGivenUp: Mistake = misread(
  (step) => (step.kind === "pivot" ? { ...step, kind: "compensatable" } : step),
  (_, input) => input._tag === "Timer",
);

/** It is given up, and nobody thinks that it may have happened. */
export const pivotForgotten: Mistake = misread(
  (step) => (step._tag === "Remote" && step.kind === "pivot" ? { ...step, kind: "compensatable", undo: null } : step),
  (_, input) => input._tag === "Timer",
);

/** A join that goes on with the first of its branches. */
export const joinDoesNotWait: Mistake = misread((step) => ({ ...step, after: step.after.slice(0, 1) }));

/** Once it is undoing, a refusal is as good as a confirmation. */
export const refusalTakenForUndo = (name: string): Mistake =>
  decider((decide) => (saga, instance, input) => {
    const [next, sends] = decide(saga, instance, input);
    if (next === null || statusOf(next, name) !== "undoRefused") return [next, sends];
    return Decider.transition(saga, withStep({ ...next, status: "compensationFailed" }, name, { status: "undoRefused" }), {
      _tag: "Resolve",
      step: name,
      by: "nobody",
      note: "",
      now: input.now,
    });
  });

/** Undos have the key of the first round. */
export const undoUnderFirstKey: Mistake = decider((decide) => (saga, instance, input) => {
  const [next, sends] = decide(saga, instance, input);
  return [
    next,
    sends.map((send) => {
      if (send._tag !== "Message" || send.draft.json !== "undo") return send;
      return { ...send, draft: { ...send.draft, stepKey: send.draft.stepKey?.replace(/\d+$/, "1") ?? null } };
    }),
  ];
});

/** It counts as done when it is asked for. */
export const doneWhenAsked = (name: string): Mistake =>
  decider((decide) => (saga, instance, input) => {
    const [next, sends] = decide(saga, instance, input);
    if (next === null || statusOf(next, name) !== "sent") return [next, sends];
    const [over, more] = decide(saga, next, replyTo(saga, name, input.now));
    return [over, [...sends, ...more]];
  });

const replyTo = (saga: AbstractSaga, name: string, now: number): Input => {
  const step = saga.steps.find((each) => each.name === name);
  const type = step?._tag === "Remote" ? step.done.type : "";
  const nothing = {
    topic: "",
    key: "",
    occurredAt: now,
    correlationId: "",
    causationId: null,
    saga: null,
    traceparent: null,
    tracestate: null,
  };
  return { _tag: "Reply", envelope: { id: "", type, stepKey: `i:${name}:1`, body: null, ...nothing }, now };
};

/** No answer, and it is asked for again without a look. */
export const probeIgnored: Mistake = misread((step) => (step._tag === "Remote" ? { ...step, probe: null } : step));

/** An operator's word is not heard. */
export const resumeIgnored: Mistake = decider(
  (decide) => (saga, instance, input) => (input._tag === "Resume" ? [instance, []] : decide(saga, instance, input)),
);
