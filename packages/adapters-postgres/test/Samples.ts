/** Values that the tests of this package write. */
import type { Document, Message } from "@org/saga-core";
import { randomUUID } from "node:crypto";

export const document = (id: string, revision: number, state: unknown): Document => ({ kind: "note", id, revision, state });

export const message = (key: string, body: unknown, over: Partial<Message.Encoded> = {}): Message.Encoded => ({
  id: randomUUID(),
  type: "test.happened.v1",
  topic: "test.happened",
  key,
  occurredAt: 1_767_225_600_123,
  correlationId: key,
  causationId: null,
  stepKey: null,
  saga: null,
  traceparent: null,
  tracestate: null,
  payload: JSON.stringify(body),
  ...over,
});
