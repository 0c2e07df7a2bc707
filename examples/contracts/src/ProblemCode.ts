/**
 * Every way in which a request can be refused, in one table. A code is a constant that clients branch on: it is never
 * renamed, and one code always has the same status and title. `detail` and `errors` of a problem are for people.
 */
import { Schema } from "effect";

interface Entry {
  readonly status: number;
  readonly title: string;
}

export const table = {
  // the request as such
  malformed_json: { status: 400, title: "The body is not valid JSON" },
  invalid_request: { status: 400, title: "The request does not match its description" },
  unknown_field: { status: 400, title: "The body has fields that nobody knows" },
  idempotency_key_missing: { status: 400, title: "The header Idempotency-Key is missing" },
  idempotency_key_invalid: { status: 400, title: "The header Idempotency-Key is not valid" },
  unauthenticated: { status: 401, title: "The caller is not known" },
  forbidden: { status: 403, title: "The caller may not do this" },
  not_found: { status: 404, title: "There is nothing at this path" },
  method_not_allowed: { status: 405, title: "This path does not know the method" },
  body_too_large: { status: 413, title: "The body is too large" },
  unsupported_media_type: { status: 415, title: "The body's content type is not supported" },
  too_many_requests: { status: 429, title: "Too many requests" },
  // orders and products
  order_not_found: { status: 404, title: "There is no such order" },
  product_not_found: { status: 404, title: "There is no such product" },
  idempotency_key_in_flight: { status: 409, title: "The first request with this Idempotency-Key is still in flight" },
  too_late_to_cancel: { status: 409, title: "The order can no longer be canceled" },
  order_refused: { status: 422, title: "The order was refused" },
  unknown_sku: { status: 422, title: "A SKU is not in the catalogue" },
  quantity_too_large: { status: 422, title: "The summed quantity of a SKU is too large" },
  idempotency_key_reused: { status: 422, title: "The Idempotency-Key was used for another request" },
  // stock
  out_of_stock: { status: 409, title: "There is not enough in stock" },
  limit_exceeded: { status: 409, title: "The buyer would have more of a SKU than the limit" },
  hold_expired: { status: 409, title: "The order's hold has ended" },
  already_released: { status: 409, title: "The order gave its goods back" },
  already_shipped: { status: 409, title: "The goods have left the house" },
  reservation_mismatch: { status: 422, title: "The order has reserved something else" },
  invalid_quantity: { status: 422, title: "The stock cannot be counted like that" },
  adjustment_mismatch: { status: 422, title: "The adjustment's id was used for another adjustment" },
  adjustment_id_invalid: { status: 422, title: "The adjustment's id is not valid" },
  // payments
  intent_not_found: { status: 404, title: "There is no such payment intent" },
  intent_refused: { status: 409, title: "The payment intent cannot do this" },
  // the service itself
  internal_error: { status: 500, title: "Something went wrong here" },
  overloaded: { status: 503, title: "Too much to do right now" },
  unavailable: { status: 503, title: "A server that this one needs cannot be reached" },
  outcome_unknown: { status: 503, title: "It may have happened: repeat the request with the same key or id" },
} as const satisfies Record<string, Entry>;

export type ProblemCode = keyof typeof table;

const isCode = (name: string): name is ProblemCode => Object.hasOwn(table, name);

export const codes: ReadonlyArray<ProblemCode> = Object.keys(table).filter(isCode);

export const ProblemCode = Schema.Literals(codes);

/** The problem type URI of a code. */
export const typeOf = <Code extends ProblemCode>(code: Code): `urn:saga-core:problem:${Code}` => `urn:saga-core:problem:${code}`;

/** The code of a response that something below the services produced with nothing but a status. */
export const ofStatus = (status: number): ProblemCode => {
  switch (status) {
    case 400:
      return "invalid_request";
    case 401:
      return "unauthenticated";
    case 403:
      return "forbidden";
    case 404:
      return "not_found";
    case 405:
      return "method_not_allowed";
    case 413:
      return "body_too_large";
    case 415:
      return "unsupported_media_type";
    case 429:
      return "too_many_requests";
    case 503:
      return "unavailable";
    default:
      return status < 500 ? "invalid_request" : "internal_error";
  }
};
