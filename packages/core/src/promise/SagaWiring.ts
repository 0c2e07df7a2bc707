/**
 * Before a saga runs behind promises: is each of its commands performed here, or sent to somebody whose answers come back? A command
 * without a topic would stop the outbox, an answer or a signal that nobody reads the saga: they are told at set-up.
 *
 * Not whether anybody elsewhere handles a command: that, no process knows of another.
 */
import type * as Message from "../domain/Message.ts";
import type { Shape, StepShape } from "../domain/saga/Saga.ts";

export interface Wiring {
  /** Of the definition, and of the older versions beside it. */
  readonly shapes: ReadonlyArray<Shape>;
  /** Types of the commands that functions of this process perform. */
  readonly performed: ReadonlyArray<string>;
  readonly startsOn: Message.AnyType | null;
  /** What the saga reads from the broker. */
  readonly messages: ReadonlyArray<Message.AnyType>;
  readonly catalogue: Message.Catalogue;
}

/** What is wrong, and what to do; null if nothing is. */
export const problem = ({ shapes, performed, startsOn, messages, catalogue }: Wiring): string | null => {
  const twice = repeated(performed);
  if (twice.length > 0) return `two steps perform ${listed(twice)}: name one function for each`;
  const isUnknown = (type: string): boolean => !catalogue.types.has(type);
  const unread = [...(startsOn === null ? [] : [startsOn]), ...messages].map(({ type }) => type).filter(isUnknown);
  if (unread.length > 0) return `the client does not know ${listed(unread)}: name them among its messages`;
  const here = new Set(performed);
  const away = shapes.flatMap(({ steps }) => steps.flatMap(asked)).filter(({ command }) => !here.has(command));
  const lost = away.map(({ command }) => command).filter(isUnknown);
  if (lost.length > 0)
    return `no step performs ${listed(lost)}: give each a step, or name it among the client's messages if it is performed elsewhere`;
  const heard = new Set(messages.map(({ type }) => type));
  const missed = shapes.flatMap(({ steps }) => steps.flatMap(signals)).filter((type) => !heard.has(type));
  if (missed.length > 0) return `it waits for ${listed(missed)}, and would never hear it: name it among the saga's messages`;
  const unheard = away.flatMap(({ replies }) => replies).filter((type) => !heard.has(type));
  return unheard.length === 0
    ? null
    : `${listed(away.map(({ command }) => command))} performed elsewhere, and nobody here hears ${listed(unheard)}: name the replies among the saga's messages`;
};

/** Types that are there more than once. */
export const repeated = (types: ReadonlyArray<string>): ReadonlyArray<string> =>
  types.filter((type, index) => types.indexOf(type) !== index);

export const listed = (types: ReadonlyArray<string>): string => [...new Set(types)].toSorted().join(", ");

interface Asked {
  readonly command: string;
  /** What may answer it. */
  readonly replies: ReadonlyArray<string>;
}

/** What a step waits for from outside: only the broker brings it. */
const signals = ({ messages }: StepShape): ReadonlyArray<string> => {
  const { done = [], failures = [], sends, retryOn = [] } = messages;
  // A step that sends nothing waits, or is a local one, which has no messages.
  return sends === undefined ? [...done, ...failures] : retryOn;
};

const asked = ({ messages }: StepShape): ReadonlyArray<Asked> => {
  const { done = [], failures = [], sends = [], undo = [], probe = [] } = messages;
  const replies = [...done, ...failures];
  const [undoes, ...undone] = undo;
  const [probes, ...unseen] = probe;
  return [
    ...sends.map((command) => ({ command, replies })),
    // The shape has an empty name where an undo cannot be refused.
    ...(undoes === undefined ? [] : [{ command: undoes, replies: undone.filter((type) => type !== "") }]),
    ...(probes === undefined ? [] : [{ command: probes, replies: [...replies, ...unseen] }]),
  ];
};
