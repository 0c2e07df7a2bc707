/** The wire format. The golden record is what this version writes; it must decode for ever. */
import type { Message } from "@org/saga-core";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CloudEvents } from "../src/index.ts";

const MESSAGE: Message.Encoded = {
  id: "01890a5d-ac96-774b-bcce-b302099a8057",
  type: "inventory.reserve.v1",
  topic: "inventory.commands",
  key: "order-1",
  occurredAt: 1_767_225_600_123,
  correlationId: "order-1",
  causationId: "01890a5d-ac96-774b-bcce-b302099a8056",
  stepKey: "order-1:reserve-stock:1",
  saga: "checkout@1",
  traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
  tracestate: "vendor=value",
  payload: '{"orderId":"order-1"}',
};

const GOLDEN: CloudEvents.Outgoing = {
  key: "order-1",
  value: '{"orderId":"order-1"}',
  headers: {
    ce_specversion: "1.0",
    ce_id: "01890a5d-ac96-774b-bcce-b302099a8057",
    ce_source: "/order",
    ce_type: "inventory.reserve.v1",
    ce_time: "2026-01-01T00:00:00.123Z",
    ce_subject: "order-1",
    "content-type": "application/json",
    traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    tracestate: "vendor=value",
    ce_correlationid: "order-1",
    ce_causationid: "01890a5d-ac96-774b-bcce-b302099a8056",
    ce_stepkey: "order-1:reserve-stock:1",
    ce_saga: "checkout@1",
  },
};

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

/** The record as a consumer gets it: everything is bytes. */
const consumed = ({ headers, key, value }: CloudEvents.Outgoing, topic = MESSAGE.topic): CloudEvents.Incoming => ({
  topic,
  position: { topic, partition: 0, offset: 7 },
  key: bytes(key),
  value: bytes(value),
  headers: Object.fromEntries(Object.entries(headers).map(([name, text]) => [name, bytes(text)])),
  timestamp: "1767225600999",
});

const golden = consumed(GOLDEN);

/** The golden record, but for these headers; undefined: without it. */
const withHeaders = (headers: CloudEvents.Incoming["headers"]): CloudEvents.Incoming => ({
  ...golden,
  headers: { ...golden.headers, ...headers },
});

const readable = (message: Partial<Message.Encoded>) => ({
  _tag: "Readable",
  position: { topic: "inventory.commands", partition: 0, offset: 7 },
  message: { ...MESSAGE, ...message },
});

const text = fc.string({ unit: "binary", minLength: 1 }).filter((value) => value.isWellFormed());
const optional = fc.option(text, { nil: null });
const messages: fc.Arbitrary<Message.Encoded> = fc.record({
  id: text,
  type: text,
  topic: fc.constant("topic"),
  key: text,
  occurredAt: fc.integer({ min: 0, max: 4_102_444_800_000 }),
  correlationId: text,
  causationId: optional,
  stepKey: optional,
  saga: optional,
  traceparent: optional,
  tracestate: optional,
  payload: fc.json(),
});

describe("CloudEvents", () => {
  it("writes the golden record", () => {
    expect(CloudEvents.encode(MESSAGE, "/order")).toEqual(GOLDEN);
  });

  it("reads the golden record", () => {
    expect(CloudEvents.decode(golden)).toEqual(readable({}));
  });

  it("reads back whatever it wrote", () => {
    fc.assert(
      fc.property(messages, (message) => {
        const delivery = CloudEvents.decode(consumed(CloudEvents.encode(message, "/any"), message.topic));
        expect(delivery).toEqual({ _tag: "Readable", position: { topic: "topic", partition: 0, offset: 7 }, message });
      }),
    );
  });

  it("writes no header for what is not there", () => {
    const bare = { ...MESSAGE, causationId: null, stepKey: null, saga: null, traceparent: null, tracestate: null };
    const names = Object.keys(CloudEvents.encode(bare, "/order").headers);
    expect(names.filter((name) => /causation|step|saga|trace/.test(name))).toEqual([]);
  });

  describe("takes CloudEvents of other producers:", () => {
    const cases: ReadonlyArray<readonly [string, CloudEvents.Incoming, Partial<Message.Encoded>]> = [
      ["without time, the record's counts", withHeaders({ ce_time: undefined }), { occurredAt: 1_767_225_600_999 }],
      ["a time with an offset", withHeaders({ ce_time: "2026-01-01T01:00:00.123+01:00" }), {}],
      ["without correlation, the message begins one", withHeaders({ ce_correlationid: undefined }), { correlationId: MESSAGE.id }],
      ["without content type it is JSON", withHeaders({ "content-type": undefined }), {}],
      ["a content type with a charset", withHeaders({ "content-type": "application/json; charset=utf-8" }), {}],
      ["a vendor's JSON", withHeaders({ "content-type": "application/vnd.shop+json" }), {}],
      ["headers as text", withHeaders({ ce_id: MESSAGE.id }), {}],
      ["repeated headers: the first counts", withHeaders({ ce_id: [bytes(MESSAGE.id), bytes("another")] }), {}],
      ["without a key, the subject counts", { ...golden, key: null }, {}],
      ["the record's key is the key, whatever the subject says", withHeaders({ ce_subject: "other" }), {}],
    ];
    it.each(cases)("%s", (_, record, expected) => {
      expect(CloudEvents.decode(record)).toEqual(readable(expected));
    });
  });

  describe("calls foreign, with a word and without its content,", () => {
    const cases: ReadonlyArray<readonly [string, CloudEvents.Incoming, CloudEvents.Problem]> = [
      ["a tombstone", { ...golden, value: null }, "tombstone"],
      ["a record without headers", { ...golden, headers: undefined }, "notCloudEvent"],
      ["a record with other headers", { ...golden, headers: { id: bytes("1") } }, "notCloudEvent"],
      ["another version", withHeaders({ ce_specversion: bytes("0.3") }), "unsupportedVersion"],
      ["a body that is not JSON", withHeaders({ "content-type": bytes("avro/binary") }), "notJson"],
      ["structured mode", withHeaders({ "content-type": bytes("application/cloudevents+json") }), "notJson"],
      ["no id", withHeaders({ ce_id: undefined }), "missingId"],
      ["an empty id", withHeaders({ ce_id: bytes("") }), "missingId"],
      ["no type", withHeaders({ ce_type: undefined }), "missingType"],
      ["an empty type", withHeaders({ ce_type: bytes("") }), "missingType"],
      ["neither key nor subject", { ...withHeaders({ ce_subject: undefined }), key: null }, "missingKey"],
      ["a time that is none", withHeaders({ ce_time: bytes("yesterday") }), "badTime"],
      ["no time and a timestamp that is none", { ...withHeaders({ ce_time: undefined }), timestamp: "soon" }, "badTime"],
      ["a body that is not UTF-8", { ...golden, value: Uint8Array.of(0x22, 0xff, 0x22) }, "notText"],
      ["an id that is not UTF-8", withHeaders({ ce_id: Uint8Array.of(0xff) }), "missingId"],
    ];
    it.each(cases)("%s", (_, record, problem) => {
      expect(CloudEvents.decode(record)).toEqual({
        _tag: "Foreign",
        topic: MESSAGE.topic,
        position: { topic: "inventory.commands", partition: 0, offset: 7 },
        problem,
      });
    });
  });
});
