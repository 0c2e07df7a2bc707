/** What a service keeps of one instance of a choreographed saga, what happens to it, and what it tells the others. */
import { Predicate, Schema } from "effect";
import type * as Message from "../../Message.ts";
import type { Timestamp } from "../../Timestamp.ts";
import type { Failure } from "../SagaDefinition.ts";
import type { Input as SagaInput, Instance, Send } from "../SagaState.ts";
import type { Projection } from "./Choreography.ts";
import * as Known from "./Known.ts";

/** `pivoted`: the pivot was passed. */
export interface Aborted {
  readonly failure: Failure;
  readonly pivoted: boolean;
}

export interface Row<D> {
  readonly id: string;
  /** By the service's own projection. Null: the start was not heard of. */
  readonly instance: Instance<Known.Known<D>> | null;
  /** Outcomes that were heard of before the start. */
  readonly early: Known.Outcomes;
  /** What the arbiter was asked for. */
  readonly request: Failure | null;
  /** Said by the arbiter. Never taken back. */
  readonly aborted: Aborted | null;
  /** Steps of which nothing is left, anyone's. It may be heard of before the abort is. */
  readonly settled: ReadonlyArray<string>;
  /** Steps whose undo was refused for good, anyone's. */
  readonly refused: ReadonlyArray<string>;
  readonly isClosed: boolean;
  /** How often it was written when it is looked after; the token of that timer. 0: not yet. */
  readonly watches: number;
}

export type Input<D> =
  | Exclude<SagaInput<D>, { readonly _tag: "Reply" }>
  /** An event of a participant, or of the protocol. */
  | { readonly _tag: "Heard"; readonly envelope: Message.Envelope; readonly now: Timestamp };

export type Reaction<D, C> = readonly [row: Row<D>, send: ReadonlyArray<Send<C>>];

export const empty = (id: string): Row<never> => ({
  id,
  instance: null,
  early: {},
  request: null,
  aborted: null,
  settled: [],
  refused: [],
  isClosed: false,
  watches: 0,
});

const FailureSchema = Schema.Struct({ step: Schema.String, reason: Schema.String });

/** The stored form, given that of the instance. */
export const schemaOf = <D, E>(instance: Schema.Codec<Instance<Known.Known<D>>, E>) =>
  Schema.Struct({
    id: Schema.String,
    instance: Schema.NullOr(instance),
    early: Known.Outcomes,
    request: Schema.NullOr(FailureSchema),
    aborted: Schema.NullOr(Schema.Struct({ failure: FailureSchema, pivoted: Schema.Boolean })),
    settled: Schema.Array(Schema.String),
    refused: Schema.Array(Schema.String),
    isClosed: Schema.Boolean,
    watches: Schema.Int,
  });

/** A member that such a row has in its stored form, and no instance of a coordinator. */
export const MARK = "watches";

/** Is it such a row, and not the instance of a coordinator? */
export const isStored = (state: unknown): boolean => Predicate.hasProperty(state, MARK);

/** Says something to the other services. */
export const say = <D, C, B>(
  { protocol }: Projection<D, C>,
  type: Message.MessageType<B>,
  body: NoInfer<B>,
  now: Timestamp,
): Send<never> => ({ _tag: "Message", draft: type.draft(body, { saga: protocol.saga }), answerBy: now });

/** One reaction after another. */
export const follow = <D, C>([row, send]: Reaction<D, C>, next: (row: Row<D>) => Reaction<D, C>): Reaction<D, C> => {
  const [after, more] = next(row);
  return more.length === 0 ? [after, send] : [after, [...send, ...more]];
};
