/**
 * Messages: a type is declared once, with its schema, its topic and its key; everything else derives from it.
 *
 * - `MessageType`: the declaration (`Message.command`, `Message.event`).
 * - `Draft`: what a decision asks to send. It has no id and no time: those are the world's.
 * - `Envelope`: a draft with identity (UUIDv7), time, correlation, causation and trace context.
 * - `Encoded`: an envelope whose body is JSON text, as outbox and bus carry it.
 */
import { Predicate, Result, Schema } from "effect";
import { MESSAGE_BYTES_MAX } from "./Limits.ts";
import type { Timestamp } from "./Timestamp.ts";

export type Kind = "command" | "event";

/** The part of a declaration that does not depend on the body: what topics, routing and diagrams need. */
export interface AnyType {
  readonly kind: Kind;
  /** Versioned name, e.g. `inventory.reserve.v1`. */
  readonly type: string;
  /** Unversioned topic. All messages of one aggregate in one direction share one topic, so that G5 holds for them. */
  readonly topic: string;
  readonly version: number;
  /** Body from parsed JSON, checked by the schema. */
  readonly decode: (json: unknown) => Result.Result<unknown, Schema.SchemaError>;
}

export interface MessageType<B> extends AnyType {
  readonly decode: (json: unknown) => Result.Result<B, Schema.SchemaError>;
  readonly encode: (body: B) => unknown;
  /** Asks for this message to be sent. */
  readonly draft: (body: B, options?: DraftOptions) => Draft;
  /** Narrows an envelope that came through `decode` of a catalogue. */
  readonly is: (envelope: Envelope) => envelope is Envelope<B>;
}

export interface DraftOptions {
  /** `<instance>:<step>:<round>` of the saga step that sends, or that is answered. */
  readonly stepKey?: string | undefined;
  /** `<saga>@<version>` of the instance. */
  readonly saga?: string | undefined;
}

export interface Draft {
  readonly type: string;
  readonly topic: string;
  readonly key: string;
  readonly stepKey: string | null;
  readonly saga: string | null;
  /** The body as JSON value, already encoded by its schema. */
  readonly json: unknown;
}

/** What every message carries besides its body. Times in milliseconds. */
export interface Meta {
  /** UUIDv7. Identity only: never an order. */
  readonly id: string;
  readonly type: string;
  readonly topic: string;
  /** Partition key; for everything about an order, the order's id. */
  readonly key: string;
  readonly occurredAt: Timestamp;
  /** The conversation: the first message's id or the order's. */
  readonly correlationId: string;
  /** The message that led to this one. */
  readonly causationId: string | null;
  readonly stepKey: string | null;
  readonly saga: string | null;
  /** W3C trace context. */
  readonly traceparent: string | null;
  readonly tracestate: string | null;
}

export interface Envelope<B = unknown> extends Meta {
  readonly body: B;
}

export interface Encoded extends Meta {
  /** JSON text of the body: exactly one value. */
  readonly payload: string;
}

/** A message that cannot be read. It never holds the payload. */
export interface Unreadable {
  readonly _tag: "Unreadable";
  readonly id: string;
  readonly type: string;
  readonly problem: "unknownType" | "malformedJson" | "schemaMismatch" | "tooLarge";
  readonly detail: string;
}

export interface TypeOptions<B> {
  readonly topic: string;
  readonly key: (body: B) => string;
}

export const command = <B, E>(type: string, schema: Schema.Codec<B, E>, options: TypeOptions<B>): MessageType<B> =>
  make("command", type, schema, options);

export const event = <B, E>(type: string, schema: Schema.Codec<B, E>, options: TypeOptions<B>): MessageType<B> =>
  make("event", type, schema, options);

/** The message types a service knows. Two types of one name are a programming error and throw at start. */
export interface Catalogue {
  readonly types: ReadonlyMap<string, AnyType>;
  readonly topics: ReadonlyArray<string>;
}

export const catalogue = (types: ReadonlyArray<AnyType>): Catalogue => {
  const byName = new Map<string, AnyType>();
  for (const type of types) {
    if (byName.has(type.type)) throw new Error(`message type ${type.type} is declared twice`);
    byName.set(type.type, type);
  }
  return { types: byName, topics: [...new Set(types.map((type) => type.topic))].toSorted() };
};

/** A draft with its identity. */
export const stamp = (
  draft: Draft,
  meta: Pick<Meta, "id" | "occurredAt" | "correlationId" | "causationId" | "traceparent" | "tracestate">,
): Encoded => ({
  id: meta.id,
  type: draft.type,
  topic: draft.topic,
  key: draft.key,
  occurredAt: meta.occurredAt,
  correlationId: meta.correlationId,
  causationId: meta.causationId,
  stepKey: draft.stepKey,
  saga: draft.saga,
  traceparent: meta.traceparent,
  tracestate: meta.tracestate,
  payload: JSON.stringify(draft.json),
});

/** Reads a message by the catalogue. Never throws; the failure never holds the payload. */
export const decode = (known: Catalogue, encoded: Encoded): Result.Result<Envelope, Unreadable> => {
  const unreadable = (problem: Unreadable["problem"], detail: string): Result.Result<never, Unreadable> =>
    Result.fail({ _tag: "Unreadable", id: encoded.id, type: encoded.type, problem, detail });
  const type = known.types.get(encoded.type);
  if (type === undefined) return unreadable("unknownType", `no message type ${encoded.type} in the catalogue`);
  if (encoded.payload.length > MESSAGE_BYTES_MAX) return unreadable("tooLarge", `body above ${MESSAGE_BYTES_MAX} bytes`);
  const json = parseJson(encoded.payload);
  if (json === undefined) return unreadable("malformedJson", "the body is not JSON");
  const body = type.decode(json);
  if (Result.isFailure(body)) return unreadable("schemaMismatch", `the body does not match the schema of ${encoded.type}`);
  return Result.succeed(opened(encoded, body.success));
};

/** By name: to leave out a property is what took longest of reading a message (measured). */
const opened = (encoded: Encoded, body: unknown): Envelope => ({
  id: encoded.id,
  type: encoded.type,
  topic: encoded.topic,
  key: encoded.key,
  occurredAt: encoded.occurredAt,
  correlationId: encoded.correlationId,
  causationId: encoded.causationId,
  stepKey: encoded.stepKey,
  saga: encoded.saga,
  traceparent: encoded.traceparent,
  tracestate: encoded.tracestate,
  body,
});

const VERSION = /^[a-z][a-zA-Z0-9.-]*\.v([1-9][0-9]*)$/;

const make = <B, E>(kind: Kind, type: string, schema: Schema.Codec<B, E>, options: TypeOptions<B>): MessageType<B> => {
  const version = VERSION.exec(type)?.[1];
  if (version === undefined) throw new Error(`message type ${type} needs a version suffix such as .v1`);
  const problem = ofDeclaration(schema, options);
  if (problem !== null) throw new Error(`message type ${type} ${problem}`);
  const json = Schema.toCodecJson(schema);
  const encode = Schema.encodeSync(json);
  return {
    kind,
    type,
    topic: options.topic,
    version: Number(version),
    decode: Schema.decodeUnknownResult(json),
    encode,
    draft: (body, draftOptions) => ({
      type,
      topic: options.topic,
      key: options.key(body),
      stepKey: draftOptions?.stepKey ?? null,
      saga: draftOptions?.saga ?? null,
      json: encode(body),
    }),
    is: (envelope): envelope is Envelope<B> => envelope.type === type,
  };
};

/** The types keep it; a program without types hears it. */
const ofDeclaration = (schema: unknown, options: unknown): string | null => {
  if (!Schema.isSchema(schema)) return "needs a schema of its body, such as a Schema.Struct";
  const isWhole =
    Predicate.hasProperty(options, "topic") &&
    typeof options.topic === "string" &&
    options.topic !== "" &&
    Predicate.hasProperty(options, "key") &&
    typeof options.key === "function";
  return isWhole ? null : 'needs a topic and a key: { topic: "orders", key: (body) => body.order }';
};

const parseJson = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
};
