/**
 * What a service does next in a choreographed saga: `[row, send]`, never a call.
 *
 * ```
 * (nothing) ──start, heard of──▶ running ──the arbiter has closed──▶ completed
 *                                  │ aborted, said by the arbiter
 *                                  ▼
 *                             compensating ──the arbiter has closed──▶ compensated
 *                                  │ an undo refused for good   ▲
 *                                  ▼                            │ repair
 *                             compensationFailed ───────────────┘
 * ```
 *
 * Invariants:
 * 1. A service begins its own steps only, each when it has heard of the outcomes of those that it comes after, in whatever
 *    order they came.
 * 2. Nobody turns around by themselves: a failure for good, a cancel and a deadline are requests to the arbiter.
 * 3. The arbiter's row says once for ever whether its pivot was asked for or the saga was aborted; a request that comes after
 *    the first does nothing, and after the second nothing begins.
 * 4. What was heard before the start is kept, and of an undo before the abort. An instance that was aborted before its start was
 *    heard of never starts here.
 * 5. Whatever comes twice changes nothing.
 *
 * The message key of every event is the instance's id; an event names its step by its key.
 */
import type * as Message from "../../Message.ts";
import type { Timestamp } from "../../Timestamp.ts";
import type { Failure } from "../SagaDefinition.ts";
import * as SagaDecider from "../SagaDecider.ts";
import * as SagaForward from "../SagaForward.ts";
import { type Instance, type Send, START, stateOf, stepKey, withStep } from "../SagaState.ts";
import type { Kept, Step } from "../SagaStep.ts";
import * as Arbiter from "./Arbiter.ts";
import type { Projection } from "./Choreography.ts";
import * as Known from "./Known.ts";
import * as Repair from "./Repair.ts";
import { empty, type Input, type Reaction, type Row, say, follow } from "./Row.ts";
import * as Undoing from "./Undoing.ts";
import * as Watch from "./Watch.ts";

export { type Input, isStored, MARK, type Reaction, type Row } from "./Row.ts";

/** Pure and total. Null: there is nothing to keep of the instance yet. */
export const react = <D, C>(
  projection: Projection<D, C>,
  known: Row<D> | null,
  id: string,
  input: Input<D>,
): readonly [row: Row<D> | null, send: ReadonlyArray<Send<C>>] => {
  const row: Row<D> = known ?? empty(id);
  const [next, send] = reaction(projection, row, id, input);
  return [next === row ? known : next, send];
};

const reaction = <D, C>(projection: Projection<D, C>, row: Row<D>, id: string, input: Input<D>): Reaction<D, C> => {
  const { now } = input;
  switch (input._tag) {
    case "Start": {
      if (row.instance !== null) return [row, []];
      const { Started, encodeStart } = projection.protocol;
      const told = say(projection, Started, { instance: id, data: encodeStart(input.data), outcomes: {} }, now);
      return follow([row, [told]], (next) => start(projection, next, input.data, now));
    }
    case "Heard":
      return heard(projection, row, input.envelope, now);
    case "LocalReply":
      return own(projection, row, input, now);
    case "Timer":
      return input.name === Watch.WATCH_TIMER ? Watch.fired(projection, row, input.token, now) : own(projection, row, input, now);
    case "Cancel":
      return Arbiter.ask(projection, row, { step: START, reason: projection.whole.canceled(input.by) }, now);
    case "Resume":
      return Repair.tell(projection, row, { step: null, by: input.by ?? "operator", note: input.note ?? "" }, now);
    case "Resolve":
      return Repair.tell(projection, row, input, now);
  }
};

/** A cancel may still be asked for: whether it comes in time is the arbiter's to say. */
export const mayCancel = <D>(row: Row<D>): boolean => row.aborted === null && !row.isClosed && row.instance?.status === "running";

const start = <D, C>(projection: Projection<D, C>, row: Row<D>, data: D, now: Timestamp): Reaction<D, C> => {
  const [instance, send] = SagaDecider.transition(projection.definition, null, {
    _tag: "Start",
    id: row.id,
    data: Known.begin(data),
    now,
  });
  if (instance === null) return [row, []];
  const started = Watch.begin<D, C>([{ ...row, instance, early: {} }, send], now);
  const informed = follow(started, (next) => learnAll(projection, next, row.early, now));
  return follow(informed, (next) =>
    next.request === null || !projection.isArbiter ? [next, []] : Arbiter.consider(projection, next, next.request, now),
  );
};

const heard = <D, C>(projection: Projection<D, C>, row: Row<D>, envelope: Message.Envelope, now: Timestamp): Reaction<D, C> => {
  const { protocol } = projection;
  if (envelope.saga !== null && envelope.saga !== protocol.saga) return [row, []];
  if (protocol.types.some(({ type }) => type === envelope.type)) return said(projection, row, envelope, now);
  if (row.isClosed) return [row, []];
  if (envelope.stepKey === null) return signaled(projection, row, envelope, now);
  const step = projection.definition.steps.find(({ name }) => envelope.stepKey?.startsWith(`${row.id}:${name}:`) === true);
  return step === undefined ? [row, []] : replied(projection, row, step, envelope, now);
};

/** Something that the services tell each other. */
const said = <D, C>(projection: Projection<D, C>, row: Row<D>, envelope: Message.Envelope, now: Timestamp): Reaction<D, C> => {
  const { protocol, isArbiter } = projection;
  if (row.isClosed) return closedAgain(projection, row, envelope, now);
  if (protocol.Started.is(envelope)) {
    const { data, outcomes } = envelope.body;
    if (row.aborted !== null) return [row, []];
    const begun: Reaction<D, C> = row.instance === null ? start(projection, row, protocol.decodeStart(data), now) : [row, []];
    return follow(begun, (next) => learnAll(projection, next, outcomes, now));
  }
  if (protocol.Passed.is(envelope)) return learn(projection, row, envelope.body.step, envelope.body.outcome, now);
  if (protocol.Requested.is(envelope)) {
    const { failure, outcomes } = envelope.body;
    if (!isArbiter || row.aborted !== null) return [row, []];
    return follow(learnAll(projection, row, outcomes, now), (next) => Arbiter.consider(projection, next, failure, now));
  }
  if (protocol.Aborted.is(envelope)) {
    const { failure, pivoted, outcomes } = envelope.body;
    return row.aborted === null ? Undoing.begin(projection, row, { failure, pivoted }, outcomes, now) : [row, []];
  }
  // These may overtake what the arbiter has said: they come on another topic.
  if (protocol.Undone.is(envelope)) return further(projection, row, Undoing.undoneBy(row, envelope.body.steps), now);
  if (protocol.UndoRefused.is(envelope)) return further(projection, row, Undoing.refusedBy(row, envelope.body.step), now);
  // The home has done it when it told so: its own word, heard, is no second one.
  if (protocol.Repair.is(envelope)) return projection.isHome ? [row, []] : Repair.apply(projection, row, envelope.body, now);
  if (protocol.Closed.is(envelope)) return Undoing.end(projection, row, envelope.body.failure, envelope.body.pivoted);
  return [row, []];
};

/** Whoever still asks an arbiter that has closed has missed it. */
const closedAgain = <D, C>(projection: Projection<D, C>, row: Row<D>, envelope: Message.Envelope, now: Timestamp): Reaction<D, C> => {
  const { protocol, isArbiter } = projection;
  const isAsking = protocol.Started.is(envelope) || protocol.Requested.is(envelope) || protocol.Undone.is(envelope);
  if (!isArbiter || !isAsking) return [row, []];
  const failure = row.aborted?.failure ?? null;
  return [row, [say(projection, protocol.Closed, { instance: row.id, failure, pivoted: row.aborted?.pivoted ?? true }, now)]];
};

/** Undoing goes on with what was told, once it has begun. */
const further = <D, C>(projection: Projection<D, C>, row: Row<D>, next: Row<D>, now: Timestamp): Reaction<D, C> =>
  next === row || next.aborted === null ? [next, []] : Undoing.undo(projection, next, now);

/** A participant's answer, under the key of its step. */
const replied = <D, C>(
  projection: Projection<D, C>,
  row: Row<D>,
  step: Step<Known.Known<D>, C>,
  envelope: Message.Envelope,
  now: Timestamp,
): Reaction<D, C> => {
  const whole = projection.whole.steps.find(({ name }) => name === step.name);
  if (whole?._tag !== "Remote") return [row, []];
  const kept = whole.reply.keep(envelope);
  if (!projection.owns.has(step.name)) return kept === null ? [row, []] : learn(projection, row, step.name, kept, now);
  if (row.instance === null || step._tag !== "Remote") return [row, []];
  if (row.aborted !== null) return Undoing.answered(projection, row, step, envelope, now);
  if (kept === null || envelope.stepKey !== stepKey(row.instance, step.name)) {
    return own(projection, row, { _tag: "Reply", envelope, now }, now);
  }
  return learn(projection, row, step.name, kept, now);
};

/** An event of the world, which may be there before the start. */
const signaled = <D, C>(projection: Projection<D, C>, row: Row<D>, envelope: Message.Envelope, now: Timestamp): Reaction<D, C> => {
  if (row.instance !== null) return own(projection, row, { _tag: "Reply", envelope, now }, now);
  for (const step of projection.definition.steps) {
    const kept = step._tag === "Signal" ? step.early.keep(envelope) : null;
    if (kept !== null) return [{ ...row, early: { ...row.early, [step.name]: kept } }, []];
  }
  return [row, []];
};

const learnAll = <D, C>(projection: Projection<D, C>, row: Row<D>, outcomes: Known.Outcomes, now: Timestamp): Reaction<D, C> => {
  let reaction: Reaction<D, C> = [row, []];
  for (const { name } of projection.definition.steps) {
    const kept = outcomes[name];
    if (kept !== undefined) reaction = follow(reaction, (next) => learn(projection, next, name, kept, now));
  }
  return reaction;
};

/** The outcome of a step, its own or another's: kept until it is awaited. */
const learn = <D, C>(projection: Projection<D, C>, row: Row<D>, name: string, kept: Kept, now: Timestamp): Reaction<D, C> => {
  const { definition } = projection;
  const { instance } = row;
  const step = definition.steps.find((each) => each.name === name);
  if (step === undefined || row.aborted !== null) return [row, []];
  if (instance === null) return [{ ...row, early: { ...row.early, [name]: kept } }, []];
  const state = stateOf(instance, name);
  if (instance.status !== "running") return [row, []];
  if (state.status === "pending") {
    if (step._tag !== "Signal" || state.kept !== undefined) return [row, []];
    return [{ ...row, instance: withStep(instance, name, { ...state, kept }) }, []];
  }
  if (state.status !== "sent") return [row, []];
  if (kept._tag === "Failed") {
    return adopt(projection, row, instance, SagaForward.settle(definition, instance, step, kept, now), now);
  }
  // Known first, and then what follows: whatever that is, this outcome is not lost with it.
  const done = withStep({ ...instance, data: Known.learn(instance.data, name, kept) }, name, { status: "done" });
  const told = passed(projection, row.id, instance, done, now);
  return follow([{ ...row, instance: done }, told], (next) =>
    adopt(projection, next, done, SagaForward.advance(definition, done, now), now),
  );
};

type OwnInput<D> = Parameters<typeof SagaDecider.transition<Known.Known<D>, unknown>>[2];

/** Something about a step of its own. */
const own = <D, C>(projection: Projection<D, C>, row: Row<D>, input: OwnInput<D>, now: Timestamp): Reaction<D, C> => {
  const { instance } = row;
  if (instance === null) return [row, []];
  const [next, send] = SagaDecider.transition(projection.definition, instance, input);
  if (next === null || next === instance) return [row, []];
  return adopt(projection, row, instance, [next, send], now);
};

type Moved<D, C> = readonly [next: Instance<Known.Known<D>>, send: ReadonlyArray<Send<C>>];

/** What its decider came to. Where that would turn around, the arbiter is asked instead. */
const adopt = <D, C>(
  projection: Projection<D, C>,
  row: Row<D>,
  before: Instance<Known.Known<D>>,
  moved: Moved<D, C>,
  now: Timestamp,
): Reaction<D, C> => {
  const { definition } = projection;
  const [next] = moved;
  if (row.aborted === null && next.failure !== null && next.status !== "running") {
    const [frozen, send] = SagaDecider.woken<Known.Known<D>, C>(definition, [freeze(before, next, next.failure), []]);
    const { failure } = next;
    return follow([{ ...row, instance: frozen }, send], (stopped) => Arbiter.ask(projection, stopped, failure, now, true));
  }
  const [instance, send] = SagaDecider.woken(definition, moved);
  const told = passed(projection, row.id, before, instance, now);
  return follow([{ ...row, instance }, [...send, ...told]], (after) => Arbiter.complete(projection, after, now));
};

/** As it was, but that the step which failed is not asked for again. */
const freeze = <D>(before: Instance<D>, turned: Instance<D>, { step }: Failure): Instance<D> => {
  const { dueAt: _, ...state } = stateOf(before, step);
  const isFailed = stateOf(turned, step).status === "failed";
  const stopped =
    step === START ? before : { ...before, steps: { ...before.steps, [step]: isFailed ? { ...state, status: "failed" as const } : state } };
  // Its timer has fired, or is written anew.
  return { ...stopped, wakeAt: null };
};

/** Outcomes of own steps that no event of a participant tells of. */
const passed = <D, C>(
  projection: Projection<D, C>,
  id: string,
  before: Instance<Known.Known<D>>,
  after: Instance<Known.Known<D>>,
  now: Timestamp,
): ReadonlyArray<Send<never>> => {
  const { definition, owns, protocol } = projection;
  const send: Array<Send<never>> = [];
  for (const { name, _tag, otherwise } of definition.steps) {
    const { status } = stateOf(after, name);
    if (!owns.has(name) || status === stateOf(before, name).status) continue;
    const outcome: Kept | null =
      status === "done" && _tag !== "Remote"
        ? (after.data.outcomes[name] ?? Known.DONE)
        : status === "failed" && otherwise === "goOn"
          ? { _tag: "Failed", reason: "", isTransient: false }
          : null;
    if (outcome !== null) send.push(say(projection, protocol.Passed, { instance: id, step: name, outcome }, now));
  }
  return send;
};
