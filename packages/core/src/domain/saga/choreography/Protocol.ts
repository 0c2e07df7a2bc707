/**
 * What the services of a choreographed saga tell each other besides the participants' own events: keyed by the instance, each
 * service on its own events' topic, so that what it tells of an instance arrives in the order in which it was committed (G5).
 *
 * Each message says what is so, so that it may come twice, late, or in any order.
 */
import { Schema } from "effect";
import * as Message from "../../Message.ts";
import type { Failure } from "../SagaDefinition.ts";
import type { Kept } from "../SagaStep.ts";
import * as Known from "./Known.ts";

interface About {
  readonly instance: string;
}

/**
 * From its home; and from whoever waits for long, with all they know. `data`: what it began with, as JSON: each version reads its own,
 * and a process that does not know the version has to be able to leave it alone.
 */
export interface Started extends About {
  readonly data: unknown;
  readonly outcomes: Known.Outcomes;
}

/** A step that no event of a participant tells of: a local one, a signal, one that the saga goes on without. */
export interface Passed extends About {
  readonly step: string;
  readonly outcome: Kept;
}

/** To the arbiter: a failure for good, a cancel. */
export interface Requested extends About {
  readonly failure: Failure;
  readonly outcomes: Known.Outcomes;
}

/** From the arbiter, once for ever. `pivoted`: after the pivot. */
export interface Aborted extends About {
  readonly failure: Failure;
  readonly pivoted: boolean;
  readonly outcomes: Known.Outcomes;
}

/** Nothing is left of these steps, or they never began and never will. */
export interface Undone extends About {
  readonly steps: ReadonlyArray<string>;
}

export interface UndoRefused extends About {
  readonly step: string;
}

/** What a person does about undos that were refused. `step` null: all of them are asked for again. */
export interface Repair extends About {
  readonly step: string | null;
  readonly by: string;
  readonly note: string;
}

/** From the arbiter: all is done, or all is undone. */
export interface Closed extends About {
  readonly failure: Failure | null;
  readonly pivoted: boolean;
}

export interface Protocol<D> {
  /** `<saga>@<version>`. */
  readonly saga: string;
  readonly encodeStart: (data: D) => unknown;
  readonly decodeStart: (json: unknown) => D;
  readonly Started: Message.MessageType<Started>;
  readonly Passed: Message.MessageType<Passed>;
  readonly Requested: Message.MessageType<Requested>;
  readonly Aborted: Message.MessageType<Aborted>;
  readonly Undone: Message.MessageType<Undone>;
  readonly UndoRefused: Message.MessageType<UndoRefused>;
  readonly Repair: Message.MessageType<Repair>;
  readonly Closed: Message.MessageType<Closed>;
  readonly types: ReadonlyArray<Message.AnyType>;
}

const FailureSchema = Schema.Struct({ step: Schema.String, reason: Schema.String });
const about = { instance: Schema.String };

/** As a service tells it. */
export const make = <D>(saga: string, version: number, data: Schema.Codec<D, unknown>, topic: string): Protocol<D> => {
  const options = { topic, key: ({ instance }: About): string => instance };
  const of = <B extends About>(name: string, schema: Schema.Codec<B, unknown>): Message.MessageType<B> =>
    Message.event(`${saga}.${name}.v1`, schema, options);
  const own = {
    Started: of<Started>("started", Schema.Struct({ ...about, data: Schema.Unknown, outcomes: Known.Outcomes })),
    Passed: of<Passed>("passed", Schema.Struct({ ...about, step: Schema.String, outcome: Known.OutcomeSchema })),
    Requested: of<Requested>("abort-requested", Schema.Struct({ ...about, failure: FailureSchema, outcomes: Known.Outcomes })),
    Aborted: of<Aborted>("aborted", Schema.Struct({ ...about, failure: FailureSchema, pivoted: Schema.Boolean, outcomes: Known.Outcomes })),
    Undone: of<Undone>("undone", Schema.Struct({ ...about, steps: Schema.Array(Schema.String) })),
    UndoRefused: of<UndoRefused>("undo-refused", Schema.Struct({ ...about, step: Schema.String })),
    Repair: of<Repair>("repair", Schema.Struct({ ...about, step: Schema.NullOr(Schema.String), by: Schema.String, note: Schema.String })),
    Closed: of<Closed>("closed", Schema.Struct({ ...about, failure: Schema.NullOr(FailureSchema), pivoted: Schema.Boolean })),
  };
  const json = Schema.toCodecJson(data);
  const encodeStart = Schema.encodeSync(json);
  const decodeStart = Schema.decodeUnknownSync(json);
  return { saga: `${saga}@${version}`, encodeStart, decodeStart, ...own, types: Object.values(own) };
};
