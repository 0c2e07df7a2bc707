/**
 * Recorded histories of a saga, run again in a test: does a changed definition still decide the same?
 *
 *     const golden = SagaReplay.record(Checkout.make(), "paid", [{ _tag: "Start", … }, { _tag: "Reply", … }])  // once, kept as JSON
 *     expect(SagaReplay.replay(Checkout.make(), [SagaReplay.decode(golden)])).toEqual([])                       // from then on
 *
 * What counts is what an instance's world can see: statuses, rounds, messages with their bodies and keys, and commands to the
 * aggregate. Times of timers do not count, nor does the version's number.
 */
import { Result, Schema } from "effect";
import type { Definition } from "./SagaDefinition.ts";
import * as SagaDecider from "./SagaDecider.ts";
import * as SagaRules from "./SagaRules.ts";
import type { Input, Instance, Send } from "./SagaState.ts";

const Now = { now: Schema.Int };

/** What happened, as JSON. A reply's body is as on the wire. */
export const Happened = Schema.Union([
  Schema.TaggedStruct("Start", { id: Schema.String, data: Schema.Unknown, ...Now }),
  Schema.TaggedStruct("Reply", { type: Schema.String, stepKey: Schema.NullOr(Schema.String), body: Schema.Unknown, ...Now }),
  Schema.TaggedStruct("LocalReply", { step: Schema.String, accepted: Schema.Boolean, ...Now }),
  Schema.TaggedStruct("Timer", { name: Schema.String, token: Schema.String, ...Now }),
  Schema.TaggedStruct("Cancel", { by: Schema.String, ...Now }),
  Schema.TaggedStruct("Resume", { by: Schema.String, note: Schema.String, ...Now }),
  Schema.TaggedStruct("Resolve", { step: Schema.String, by: Schema.String, note: Schema.String, ...Now }),
]);
export type Happened = typeof Happened.Type;

const Seen = Schema.Struct({
  status: Schema.NullOr(Schema.String),
  /** `<status> <round>` by the step's name; those that were not begun are absent. */
  steps: Schema.Record(Schema.String, Schema.String),
  sends: Schema.Array(
    Schema.Union([
      Schema.Struct({ type: Schema.String, stepKey: Schema.NullOr(Schema.String), body: Schema.Unknown }),
      Schema.Struct({ local: Schema.Unknown, step: Schema.NullOr(Schema.String) }),
    ]),
  ),
});
type Seen = typeof Seen.Type;

export const History = Schema.Struct({
  saga: Schema.String,
  version: Schema.Int,
  name: Schema.String,
  entries: Schema.Array(Schema.Struct({ happened: Happened, ...Seen.fields })),
});
export type History = typeof History.Type;

/** Parsed JSON; throws if it is no history. */
export const decode = (json: unknown): History => {
  const decoded = Schema.decodeUnknownResult(Schema.toCodecJson(History))(json);
  if (Result.isSuccess(decoded)) return decoded.success;
  throw new Error(`this is no recorded history: ${decoded.failure.message}\nKeep as JSON what SagaReplay.record returns`);
};

/** The first entry after which a definition came to something else. */
export interface Difference {
  readonly history: string;
  /** From 0. */
  readonly entry: number;
  /** One line each. */
  readonly differences: ReadonlyArray<string>;
}

/** Runs what happened, and writes down what came of it: a JSON value. */
export const record = <D, C>(definition: Definition<D, C>, name: string, happened: ReadonlyArray<Happened>): History => {
  SagaRules.expectWhole(definition);
  const problem = problemOf(happened);
  if (problem !== null) SagaRules.refuse(definition.name, `the history "${name}" cannot be run: ${problem}`);
  const entries: Array<History["entries"][number]> = [];
  let instance: Instance<D> | null = null;
  for (const each of happened) {
    const [next, seen]: readonly [Instance<D> | null, Seen] = step(definition, instance, each);
    instance = next;
    entries.push({ happened: each, ...seen });
  }
  return { saga: definition.name, version: definition.version, name, entries };
};

/** Runs histories again; the first difference of each. None: the definition decides as was recorded. */
export const replay = <D, C>(definition: Definition<D, C>, histories: ReadonlyArray<History>): ReadonlyArray<Difference> =>
  histories.flatMap((history) => {
    if (!isHistory(history)) return SagaRules.refuse(definition.name, "what is replayed is no history: read it with SagaReplay.decode");
    if (history.saga !== definition.name)
      return SagaRules.refuse(definition.name, `the history "${history.name}" is of the saga "${history.saga}": replay it with that one`);
    const again = record(
      definition,
      history.name,
      history.entries.map(({ happened }) => happened),
    );
    for (const [entry, expected] of history.entries.entries()) {
      const actual = again.entries[entry];
      const differences = actual === undefined ? [] : compare(expected, actual);
      if (differences.length > 0) return [{ history: history.name, entry, differences: [titleOf(expected.happened), ...differences] }];
    }
    return [];
  });

const isHistory = Schema.is(History);

const isHappened = Schema.is(Happened);

/** What is wrong with a list of what happened; null: nothing. */
const problemOf = (happened: ReadonlyArray<Happened>): string | null => {
  if (!Array.isArray(happened)) return "what happened is no list";
  const wrong = happened.findIndex((each) => !isHappened(each));
  return wrong === -1 ? null : `entry ${wrong} says nothing that may happen (Start, Reply, LocalReply, Timer, Cancel, Resume, Resolve)`;
};

const step = <D, C>(
  definition: Definition<D, C>,
  instance: Instance<D> | null,
  happened: Happened,
): readonly [Instance<D> | null, Seen] => {
  const input = inputOf(definition, instance, happened);
  const [next, sends] = input === null ? [instance, []] : SagaDecider.transition(definition, instance, input);
  const steps: Record<string, string> = {};
  for (const [name, { status, round }] of Object.entries(next?.steps ?? {})) steps[name] = `${status} ${round}`;
  return [next, { status: next?.status ?? null, steps, sends: sends.flatMap(sentOf) }];
};

/** Null: a message that this definition does not await, or cannot read. */
const inputOf = <D, C>(definition: Definition<D, C>, instance: Instance<D> | null, happened: Happened): Input<D> | null => {
  if (happened._tag === "Start") {
    const data = Schema.decodeUnknownResult(Schema.toCodecJson(definition.data))(happened.data);
    if (Result.isSuccess(data)) return { ...happened, data: data.success };
    return SagaRules.refuse(
      definition.name,
      `"${happened.id}" starts with data that this definition does not read: ${data.failure.message}`,
    );
  }
  if (happened._tag !== "Reply") return happened;
  const type = definition.awaits.find((awaited) => awaited.type === happened.type);
  const body = type?.decode(happened.body);
  if (type === undefined || body === undefined || Result.isFailure(body)) return null;
  const { stepKey, now } = happened;
  const key = instance?.id ?? "";
  const meta = { id: `${happened.type} ${now}`, type: type.type, topic: type.topic, key, occurredAt: now, correlationId: key, stepKey };
  const envelope = { ...meta, causationId: null, saga: null, traceparent: null, tracestate: null, body: body.success };
  return { _tag: "Reply", envelope, now };
};

const sentOf = <C>(send: Send<C>): Seen["sends"] => {
  if (send._tag === "Message") return [{ type: send.draft.type, stepKey: send.draft.stepKey, body: send.draft.json }];
  return send._tag === "Local" ? [{ local: send.command, step: send.step }] : [];
};

const compare = (was: Seen, is: Seen): ReadonlyArray<string> => {
  const names = [...new Set([...Object.keys(was.steps), ...Object.keys(is.steps)])].toSorted();
  const steps = names.filter((name) => was.steps[name] !== is.steps[name]);
  return [
    ...(was.status === is.status ? [] : [`status: was ${was.status}, is ${is.status}`]),
    ...steps.map((name) => `step "${name}": was ${was.steps[name] ?? "not begun"}, is ${is.steps[name] ?? "not begun"}`),
    ...(textOf(was.sends) === textOf(is.sends) ? [] : [`sends: was ${textOf(was.sends)}, is ${textOf(is.sends)}`]),
  ];
};

/** With keys in order: a golden may have been written by another program. */
const textOf = (value: unknown): string =>
  JSON.stringify(value, (_, each: unknown) =>
    typeof each === "object" && each !== null && !Array.isArray(each)
      ? Object.fromEntries(Object.entries(each).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : each,
  );

const titleOf = (happened: Happened): string => {
  const what = happened._tag === "Reply" ? happened.type : happened._tag;
  return `after ${what} at ${happened.now}`;
};
