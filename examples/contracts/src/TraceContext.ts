/** The caller's trace (W3C trace context). */
import type { HttpServerRequest } from "effect/http";

const TRACEPARENT = /^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/;

/** The trace that a request belongs to, if it says so. */
export const traceparentOf = (request: HttpServerRequest.HttpServerRequest): string | null => {
  const header = request.headers["traceparent"];
  return header !== undefined && TRACEPARENT.test(header) ? header : null;
};
