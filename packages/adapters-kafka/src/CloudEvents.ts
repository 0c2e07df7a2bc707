/**
 * Messages on Kafka: CloudEvents 1.0, binary mode (CloudEvents Kafka protocol binding). The body is the record's value,
 * everything else is headers; the record's key is the message's key, and so its partition.
 *
 * ```
 * ce_specversion  1.0          content-type  application/json
 * ce_id           id           traceparent   W3C trace context
 * ce_source       the service  tracestate    W3C trace context
 * ce_type         type         ce_correlationid   extension
 * ce_time         occurredAt   ce_causationid     extension
 * ce_subject      key          ce_stepkey         extension
 *                              ce_saga            extension
 * ```
 *
 * Decoding takes what other producers of CloudEvents may leave out: without `ce_time` the record's time counts, without a
 * correlation the message begins one. What is no such message is `Foreign`, with a word that says why, never its content.
 */
import type { Delivery, Message, Position } from "@org/saga-core";
import { DateTime, Option } from "effect";

export interface Headers {
  readonly [name: string]: string;
}

/** A record to produce. */
export interface Outgoing {
  readonly key: string;
  readonly value: string;
  readonly headers: Headers;
}

/** A header as a driver hands it over: repeated ones come as a list. */
export type HeaderValue = Uint8Array | string | ReadonlyArray<Uint8Array | string> | undefined;

/** A consumed record. */
export interface Incoming {
  /** As the port knows it, without the installation's prefix. */
  readonly topic: string;
  readonly position: Position;
  readonly key: Uint8Array | null;
  readonly value: Uint8Array | null;
  readonly headers: { readonly [name: string]: HeaderValue } | undefined;
  /** Milliseconds, as text. */
  readonly timestamp: string;
}

/** Why a record is foreign. */
export type Problem =
  | "tombstone"
  | "notCloudEvent"
  | "unsupportedVersion"
  | "notJson"
  | "missingId"
  | "missingType"
  | "missingKey"
  | "badTime"
  | "notText";

const SPEC_VERSION = "1.0";
const JSON_TYPE = "application/json";

export const encode = (message: Message.Encoded, source: string): Outgoing => ({
  key: message.key,
  value: message.payload,
  headers: present({
    ce_specversion: SPEC_VERSION,
    ce_id: message.id,
    ce_source: source,
    ce_type: message.type,
    ce_time: DateTime.formatIso(DateTime.makeUnsafe(message.occurredAt)),
    ce_subject: message.key,
    "content-type": JSON_TYPE,
    traceparent: message.traceparent,
    tracestate: message.tracestate,
    ce_correlationid: message.correlationId,
    ce_causationid: message.causationId,
    ce_stepkey: message.stepKey,
    ce_saga: message.saga,
  }),
});

export const decode = (record: Incoming): Delivery => {
  const { position, topic } = record;
  const message = read(record);
  return typeof message === "string" ? { _tag: "Foreign", position, topic, problem: message } : { _tag: "Readable", position, message };
};

const read = (record: Incoming): Message.Encoded | Problem => {
  if (record.value === null) return "tombstone";
  const headers = record.headers ?? {};
  const header = (name: string): string | null => textOf(headers[name]);
  const version = header("ce_specversion");
  if (version === null) return "notCloudEvent";
  if (version !== SPEC_VERSION) return "unsupportedVersion";
  if (!isJson(header("content-type"))) return "notJson";
  const id = header("ce_id");
  if (id === null || id === "") return "missingId";
  const type = header("ce_type");
  if (type === null || type === "") return "missingType";
  const key = textOf(record.key ?? undefined) ?? header("ce_subject");
  if (key === null) return "missingKey";
  const occurredAt = timeOf(header("ce_time") ?? Number(record.timestamp));
  if (occurredAt === null) return "badTime";
  const payload = textOf(record.value);
  if (payload === null) return "notText";
  return {
    id,
    type,
    topic: record.topic,
    key,
    occurredAt,
    correlationId: header("ce_correlationid") ?? id,
    causationId: header("ce_causationid"),
    stepKey: header("ce_stepkey"),
    saga: header("ce_saga"),
    traceparent: header("traceparent"),
    tracestate: header("tracestate"),
    payload,
  };
};

/** Structured mode (`application/cloudevents+json`) puts the envelope into the body: not ours. */
const isJson = (contentType: string | null): boolean => {
  const media = contentType?.split(";")[0]?.trim().toLowerCase() ?? JSON_TYPE;
  return media === JSON_TYPE || (media.endsWith("+json") && !media.startsWith("application/cloudevents"));
};

const timeOf = (time: string | number): number | null =>
  Option.match(DateTime.make(time), { onNone: () => null, onSome: (at) => DateTime.toEpochMillis(at) });

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Null, if it is absent or not UTF-8. Of a repeated header the first counts. */
const textOf = (value: HeaderValue): string | null => {
  if (value === undefined || typeof value === "string") return value ?? null;
  if (!(value instanceof Uint8Array)) return textOf(value[0]);
  try {
    return utf8.decode(value);
  } catch {
    return null;
  }
};

const present = (headers: { readonly [name: string]: string | null }): Headers =>
  Object.fromEntries(Object.entries(headers).flatMap(([name, value]) => (value === null ? [] : [[name, value]])));
