/**
 * Errors over HTTP: RFC 9457 problem details with a constant `code`. One class a code, made from the table of
 * `ProblemCode`; handlers fail with them, endpoints declare them, clients decode them. `instance` is filled in by
 * `ProblemMiddleware`. A problem never holds a stack trace or what the caller sent.
 */
import { Schema } from "effect";
import { type HttpServerResponse, ProblemDetails } from "effect/http";
import { HttpApiError } from "effect/http-api";
import * as ProblemCode from "./ProblemCode.ts";

/** One thing that is wrong with the request: where, and what. */
export const Flaw = Schema.Struct({
  in: Schema.Literals(["body", "header", "path", "query"]),
  /** JSON pointer within the body (RFC 6901), or the name of a header or parameter. */
  pointer: Schema.String,
  detail: Schema.String,
});
export type Flaw = typeof Flaw.Type;

const declare = <Code extends ProblemCode.ProblemCode>(code: Code) => ({
  type: ProblemCode.typeOf(code),
  status: ProblemCode.table[code].status,
  title: ProblemCode.table[code].title,
});

const extension = <Code extends ProblemCode.ProblemCode>(code: Code) => ({
  code: Schema.tag(code),
  errors: Schema.optionalKey(Schema.Array(Flaw)),
});

export class MalformedJson extends HttpApiError.Problem<MalformedJson>()(
  "MalformedJson",
  declare("malformed_json"),
  extension("malformed_json"),
) {}
export class InvalidRequest extends HttpApiError.Problem<InvalidRequest>()(
  "InvalidRequest",
  declare("invalid_request"),
  extension("invalid_request"),
) {}
export class UnknownField extends HttpApiError.Problem<UnknownField>()(
  "UnknownField",
  declare("unknown_field"),
  extension("unknown_field"),
) {}
export class IdempotencyKeyMissing extends HttpApiError.Problem<IdempotencyKeyMissing>()(
  "IdempotencyKeyMissing",
  declare("idempotency_key_missing"),
  extension("idempotency_key_missing"),
) {}
export class IdempotencyKeyInvalid extends HttpApiError.Problem<IdempotencyKeyInvalid>()(
  "IdempotencyKeyInvalid",
  declare("idempotency_key_invalid"),
  extension("idempotency_key_invalid"),
) {}
export class Unauthenticated extends HttpApiError.Problem<Unauthenticated>()(
  "Unauthenticated",
  declare("unauthenticated"),
  extension("unauthenticated"),
) {}
export class NotFound extends HttpApiError.Problem<NotFound>()("NotFound", declare("not_found"), extension("not_found")) {}
export class BodyTooLarge extends HttpApiError.Problem<BodyTooLarge>()(
  "BodyTooLarge",
  declare("body_too_large"),
  extension("body_too_large"),
) {}
export class UnsupportedMediaType extends HttpApiError.Problem<UnsupportedMediaType>()(
  "UnsupportedMediaType",
  declare("unsupported_media_type"),
  extension("unsupported_media_type"),
) {}
export class OrderNotFound extends HttpApiError.Problem<OrderNotFound>()(
  "OrderNotFound",
  declare("order_not_found"),
  extension("order_not_found"),
) {}
export class ProductNotFound extends HttpApiError.Problem<ProductNotFound>()(
  "ProductNotFound",
  declare("product_not_found"),
  extension("product_not_found"),
) {}
export class IdempotencyKeyInFlight extends HttpApiError.Problem<IdempotencyKeyInFlight>()(
  "IdempotencyKeyInFlight",
  declare("idempotency_key_in_flight"),
  extension("idempotency_key_in_flight"),
) {}
export class TooLateToCancel extends HttpApiError.Problem<TooLateToCancel>()(
  "TooLateToCancel",
  declare("too_late_to_cancel"),
  extension("too_late_to_cancel"),
) {}
export class OrderRefused extends HttpApiError.Problem<OrderRefused>()(
  "OrderRefused",
  declare("order_refused"),
  extension("order_refused"),
) {}
export class UnknownSku extends HttpApiError.Problem<UnknownSku>()("UnknownSku", declare("unknown_sku"), extension("unknown_sku")) {}
export class QuantityTooLarge extends HttpApiError.Problem<QuantityTooLarge>()(
  "QuantityTooLarge",
  declare("quantity_too_large"),
  extension("quantity_too_large"),
) {}
export class IdempotencyKeyReused extends HttpApiError.Problem<IdempotencyKeyReused>()(
  "IdempotencyKeyReused",
  declare("idempotency_key_reused"),
  extension("idempotency_key_reused"),
) {}
export class OutOfStock extends HttpApiError.Problem<OutOfStock>()("OutOfStock", declare("out_of_stock"), extension("out_of_stock")) {}
export class LimitExceeded extends HttpApiError.Problem<LimitExceeded>()(
  "LimitExceeded",
  declare("limit_exceeded"),
  extension("limit_exceeded"),
) {}
export class HoldExpired extends HttpApiError.Problem<HoldExpired>()("HoldExpired", declare("hold_expired"), extension("hold_expired")) {}
export class AlreadyReleased extends HttpApiError.Problem<AlreadyReleased>()(
  "AlreadyReleased",
  declare("already_released"),
  extension("already_released"),
) {}
export class AlreadyShipped extends HttpApiError.Problem<AlreadyShipped>()(
  "AlreadyShipped",
  declare("already_shipped"),
  extension("already_shipped"),
) {}
export class ReservationMismatch extends HttpApiError.Problem<ReservationMismatch>()(
  "ReservationMismatch",
  declare("reservation_mismatch"),
  extension("reservation_mismatch"),
) {}
export class InvalidQuantity extends HttpApiError.Problem<InvalidQuantity>()(
  "InvalidQuantity",
  declare("invalid_quantity"),
  extension("invalid_quantity"),
) {}
export class AdjustmentMismatch extends HttpApiError.Problem<AdjustmentMismatch>()(
  "AdjustmentMismatch",
  declare("adjustment_mismatch"),
  extension("adjustment_mismatch"),
) {}
export class AdjustmentIdInvalid extends HttpApiError.Problem<AdjustmentIdInvalid>()(
  "AdjustmentIdInvalid",
  declare("adjustment_id_invalid"),
  extension("adjustment_id_invalid"),
) {}
export class IntentNotFound extends HttpApiError.Problem<IntentNotFound>()(
  "IntentNotFound",
  declare("intent_not_found"),
  extension("intent_not_found"),
) {}
export class IntentRefused extends HttpApiError.Problem<IntentRefused>()(
  "IntentRefused",
  declare("intent_refused"),
  extension("intent_refused"),
) {}
export class InternalError extends HttpApiError.Problem<InternalError>()(
  "InternalError",
  declare("internal_error"),
  extension("internal_error"),
) {}
export class Overloaded extends HttpApiError.Problem<Overloaded>()("Overloaded", declare("overloaded"), extension("overloaded")) {}
export class Unavailable extends HttpApiError.Problem<Unavailable>()("Unavailable", declare("unavailable"), extension("unavailable")) {}
export class OutcomeUnknown extends HttpApiError.Problem<OutcomeUnknown>()(
  "OutcomeUnknown",
  declare("outcome_unknown"),
  extension("outcome_unknown"),
) {}

/** What any endpoint may answer before its handler is asked. */
export const requestProblems = [
  MalformedJson,
  InvalidRequest,
  UnknownField,
  IdempotencyKeyMissing,
  IdempotencyKeyInvalid,
  Unauthenticated,
  NotFound,
  BodyTooLarge,
  UnsupportedMediaType,
  InternalError,
  Overloaded,
  Unavailable,
] as const;

export interface Options {
  readonly detail?: string;
  readonly errors?: ReadonlyArray<Flaw>;
  readonly instance?: string;
}

/** The response of a code, for what is refused outside of an endpoint. */
export const response = (code: ProblemCode.ProblemCode, options: Options = {}): HttpServerResponse.HttpServerResponse =>
  ProblemDetails.toResponse({ ...declare(code), code, ...options });

/** Any problem of this project as a client reads it. */
export const Body = Schema.Struct({
  type: Schema.String,
  status: Schema.Int,
  title: Schema.String,
  detail: Schema.optionalKey(Schema.String),
  instance: Schema.optionalKey(Schema.String),
  code: ProblemCode.ProblemCode,
  errors: Schema.optionalKey(Schema.Array(Flaw)),
});
export type Body = typeof Body.Type;
