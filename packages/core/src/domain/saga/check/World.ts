/** A saga and the world around it, and everything that may happen to them next. */
import * as Calls from "./Calls.ts";
import type { Decision, Decisions } from "./Decisions.ts";
import * as Laws from "./Laws.ts";
import type { Model } from "./Model.ts";
import type { Handled, Kind } from "./Participant.ts";
import type { Position } from "./Position.ts";

export interface World {
  readonly position: Position;
  /** There is a timer, and the saga would accept it. */
  readonly hasTimer: boolean;
  readonly calls: Calls.Calls;
}

/** A participant handles a message. */
export interface Handling extends Handled {
  readonly _tag: "Handling";
  readonly call: Calls.Call;
  readonly kind: Kind;
}

/** A decision is lost in a crash, but for its messages or for its timer, which is gone. */
export interface Tearing {
  readonly _tag: "Tearing";
  readonly decision: Decision;
  readonly left: Model["torn"][number];
}

export type Move = Decision | Handling | Tearing;

export interface Step {
  readonly move: Move;
  readonly world: World;
  readonly broken: Laws.Broken | null;
}

export const keyOf = ({ position, hasTimer, calls }: World): string =>
  String.fromCharCode(position.id >> ID_BITS, (position.id & ID_MASK) * 2 + (hasTimer ? 1 : 0)) + calls;

/** Of a position's number, in one character beside the timer. */
const ID_BITS = 15;
const ID_MASK = (1 << ID_BITS) - 1;

export const initial = (model: Model, decisions: Decisions): World => ({
  position: decisions.none,
  hasTimer: false,
  calls: Calls.none(model.calls),
});

/** Everything that may happen: any message that was ever sent arrives, the timer fires, somebody starts, cancels or signals. */
export const steps = (model: Model, decisions: Decisions, world: World): ReadonlyArray<Step> => {
  const { position, hasTimer, calls } = world;
  const next: Array<Step> = [];
  const decided = (decision: Decision): void => {
    next.push(apply(model, world, decision));
    for (const left of model.torn) next.push(...tear(world, decision, left));
  };
  for (const call of model.calls) {
    for (const kind of Calls.inFlight(calls, call.index)) {
      if (Calls.isAnswer(kind)) decisions.answered(position, call, kind).forEach(decided);
      else next.push(...handle(model, world, call, kind));
    }
  }
  decisions.unasked(position).forEach(decided);
  if (hasTimer) {
    decisions.due(position).forEach(decided);
    decisions.early(position).forEach(decided);
  }
  return next;
};

/** A decision, whole. */
export const apply = (model: Model, world: World, decision: Decision): Step => {
  const { cause, next, sends, hasTimer } = decision;
  let { calls } = world;
  if (cause._tag === "Resolve") calls = resolved(model, world, cause.step);
  let { broken } = decision;
  for (const { call, kind } of sends) {
    if (kind === "undo") broken ??= Laws.ofUndo(model, next, calls, call.step);
    if (kind === "do" && call.step.probe !== null && isSent(world, call) && !isUnseen(cause, call)) broken ??= askedBlindly(call);
    calls = Calls.send(calls, call.index, kind);
  }
  return { move: decision, world: { position: next, hasTimer: hasTimer ?? world.hasTimer, calls }, broken };
};

const isSent = ({ position: { instance } }: World, { step, round }: Calls.Call): boolean => {
  const state = instance?.steps[step.name];
  return state?.status === "sent" && state.round === round;
};

const isUnseen = (cause: Decision["cause"], call: Calls.Call): boolean =>
  cause._tag === "Answer" && cause.kind === "unseen" && cause.call === call;

const askedBlindly = ({ step }: Calls.Call): Laws.Broken => ({
  law: "AskedBlindly",
  problem: `"${step.name}" has a probe, and is asked for again before that said that it never arrived`,
});

/** A person undoes by hand what was refused, and sees to it that nothing comes late. */
const resolved = ({ calls: all }: Model, { position: { instance }, calls }: World, name: string): Calls.Calls => {
  const state = instance?.steps[name];
  const call = all.find(({ step, round }) => step.name === name && round === state?.round);
  if (call === undefined || state?.status !== "undoRefused") return calls;
  const effect = Calls.effectOf(calls, call.index);
  return effect === "none" || effect === "done" ? Calls.become(calls, call.index, effect === "none" ? "barred" : "undone") : calls;
};

const tear = (world: World, decision: Decision, left: Tearing["left"]): ReadonlyArray<Step> => {
  const move: Tearing = { _tag: "Tearing", decision, left };
  if (left === "timer") return decision.cause._tag === "Timer" ? [{ move, world: { ...world, hasTimer: false }, broken: null }] : [];
  let { calls } = world;
  for (const { call, kind } of decision.sends) calls = Calls.send(calls, call.index, kind);
  return [{ move, world: { ...world, calls }, broken: null }];
};

/** A participant acts on a message in each way that it may. */
export const handle = (model: Model, world: World, call: Calls.Call, kind: Kind): ReadonlyArray<Step> =>
  model.participant(call.step, Calls.effectOf(world.calls, call.index), kind).map((handled) => {
    const became = Calls.become(world.calls, call.index, handled.effect);
    const calls = handled.answer === null ? became : Calls.send(became, call.index, handled.answer);
    return { move: { _tag: "Handling", call, kind, ...handled }, world: { ...world, calls }, broken: null };
  });
