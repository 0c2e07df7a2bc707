/**
 * Makes every answer that is not a success a problem (RFC 9457), whoever produced it: a handler, the decoding of a
 * request, the router (404, 405), a limit (413, 415), a defect. Bodies above `BODY_BYTES_MAX` are refused.
 *
 * Two parts that belong together, both in `layer`: `RequestProblems` belongs to the API (it names the errors in OpenAPI,
 * and turns decoding failures into them); a global middleware of the router does the rest.
 * A 5xx is logged by its cause, without the request's body; its caller learns only the code.
 */
import { ByteSize, Cause, Effect, Layer, Option, Schema, SchemaIssue } from "effect";
import {
  type Headers,
  HttpIncomingMessage,
  HttpRouter,
  HttpServerError,
  HttpServerRequest,
  HttpServerResponse,
  ProblemDetails,
} from "effect/http";
import { HttpApi, HttpApiError, type HttpApiGroup, HttpApiMiddleware } from "effect/http-api";
import type { HttpMethod } from "effect/http";
import { describeCause } from "@org/saga-core";
import * as Problem from "./Problem.ts";
import * as ProblemCode from "./ProblemCode.ts";

/** Bytes of a request's body: the largest order (100 lines) is below 16 KiB. */
export const BODY_BYTES_MAX = 256 * 1024;

/** Flaws named in one problem; whoever has more wrong starts with these. */
export const FLAWS_MAX = 20;

/** Seconds until a caller should try again after a 503, or while its first request is in flight, when nothing better is known. */
export const RETRY_AFTER_SECONDS = 1;

/** Belongs to an API or group: `group.middleware(RequestProblems)`. */
export class RequestProblems extends HttpApiMiddleware.Service<RequestProblems>()("@example/contracts/RequestProblems", {
  error: Problem.requestProblems,
}) {}

const layerRequestProblems: Layer.Layer<RequestProblems> = HttpApiMiddleware.layerSchemaErrorTransform(RequestProblems, (error) =>
  error.kind === "Body" || error.kind === "ResponseHeaders"
    ? // The cause may hold what the handler answered: only its kind is logged.
      Effect.logError(`the response could not be encoded (${error.kind})`).pipe(Effect.as(Problem.response("internal_error")))
    : Effect.succeed(refusal(error)),
);

const layerGlobal: Layer.Layer<never, never, HttpRouter.HttpRouter> = HttpRouter.middleware(
  (handler) =>
    Effect.gen(function* () {
      const request = yield* HttpServerRequest.HttpServerRequest;
      const length = Number(request.headers["content-length"] ?? 0);
      const answer =
        length > BODY_BYTES_MAX
          ? Problem.response("body_too_large", { detail: tooLarge })
          : isUndeclared(request.headers, length)
            ? Problem.response("unsupported_media_type", { detail: undeclared })
            : yield* Effect.catchCause(handler, (cause) => (Cause.hasInterruptsOnly(cause) ? Effect.failCause(cause) : ofCause(cause)));
      return answer.status < 400 ? answer : complete(answer, request.url);
    }).pipe(Effect.provideService(HttpIncomingMessage.MaxBodySize, ByteSize.fromInputUnsafe(BODY_BYTES_MAX))),
  { global: true },
);

/** Give it to what is served; see `HttpService.serve`. */
export const layer: Layer.Layer<RequestProblems, never, HttpRouter.HttpRouter> = Layer.merge(layerRequestProblems, layerGlobal);

/** For an API without a router (`HttpApiTest`). */
export const layerTest: Layer.Layer<RequestProblems> = layerRequestProblems;

const methods: ReadonlyArray<HttpMethod.HttpMethod> = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

export interface KnownRoute {
  readonly method: HttpMethod.HttpMethod;
  readonly path: `/${string}`;
}

const isPath = (path: string): path is `/${string}` => path.startsWith("/");

/** The routes of an API, as `methodNotAllowed` wants them. */
export const routesOf = <Id extends string, Groups extends HttpApiGroup.Constraint>(
  api: HttpApi.HttpApi<Id, Groups>,
): ReadonlyArray<KnownRoute> => {
  const routes: Array<KnownRoute> = [];
  HttpApi.reflect(api, {
    onGroup: () => undefined,
    onEndpoint: ({ endpoint }) => {
      if (isPath(endpoint.path)) routes.push({ method: endpoint.method, path: endpoint.path });
    },
  });
  return routes;
};

/** Answers the methods that a known path does not have with 405 and `Allow`, instead of the router's 404. */
export const methodNotAllowed = (routes: ReadonlyArray<KnownRoute>): Layer.Layer<never, never, HttpRouter.HttpRouter> => {
  const allowed = Map.groupBy(routes, ({ path }) => path);
  const refusals = [...allowed].flatMap(([path, known]) => {
    const names = known.map(({ method }) => method);
    const answer = HttpServerResponse.setHeader(Problem.response("method_not_allowed"), "allow", names.join(", "));
    return methods.filter((method) => !names.includes(method)).map((method) => HttpRouter.route(method, path, answer));
  });
  return HttpRouter.addAll(refusals);
};

/** A body that does not say what it is, or that is packed: nobody guesses. */
const isUndeclared = (headers: Headers.Headers, length: number): boolean =>
  (headers["content-type"] === undefined && (length > 0 || headers["transfer-encoding"] !== undefined)) ||
  (headers["content-encoding"] ?? "identity") !== "identity";

const undeclared = "say application/json in Content-Type, and no Content-Encoding";
const noObject = "the body has to be a JSON object";
const tooLarge = `at most ${BODY_BYTES_MAX} bytes`;

const ofCause = (cause: Cause.Cause<unknown>): Effect.Effect<HttpServerResponse.HttpServerResponse> =>
  Effect.gen(function* () {
    for (const reason of cause.reasons) {
      const error = reason._tag === "Fail" ? reason.error : reason._tag === "Die" ? reason.defect : undefined;
      if (HttpApiError.HttpApiSchemaError.is(error) && error.kind !== "Body" && error.kind !== "ResponseHeaders") return refusal(error);
      if (HttpServerError.isHttpServerError(error) && error.reason._tag === "RequestParseError") {
        return error.reason.reason === "BodyTooLarge"
          ? Problem.response("body_too_large", { detail: tooLarge })
          : Problem.response("invalid_request", { detail: "the body could not be read" });
      }
    }
    const [response] = yield* HttpServerError.causeResponse(cause);
    if (response.status >= 500) yield* Effect.logError(`a request failed: ${describeCause(cause)}`);
    return response;
  });

/** The problem of a request that could not be decoded. */
const refusal = (error: HttpApiError.HttpApiSchemaError): HttpServerResponse.HttpServerResponse => {
  const issue = error.cause.issue;
  if (error.kind === "Params") return Problem.response("not_found");
  if (error.kind === "Headers") return refusedHeader(flawsOf("header", issue), missing(issue));
  if (error.kind === "Query") return Problem.response("invalid_request", { errors: flawsOf("query", issue) });
  // The only failure of a body as a whole that is no schema's: `JSON.parse` refused it.
  if (issue._tag === "InvalidValue") return Problem.response("malformed_json");
  const errors = flawsOf("body", issue);
  // Such a flaw says no more than the schema's name.
  if (errors.some(({ pointer }) => pointer === "")) return Problem.response("invalid_request", { detail: noObject, errors });
  return Problem.response(leaves(issue).every(({ _tag }) => _tag === "UnexpectedKey") ? "unknown_field" : "invalid_request", { errors });
};

const refusedHeader = (errors: ReadonlyArray<Problem.Flaw>, absent: boolean): HttpServerResponse.HttpServerResponse => {
  switch (errors[0]?.pointer ?? "") {
    case "idempotency-key":
      return Problem.response(absent ? "idempotency_key_missing" : "idempotency_key_invalid", { errors });
    case "x-customer-id":
      return Problem.response("unauthenticated", { detail: "the header X-Customer-Id says who asks", errors });
    default:
      return Problem.response("invalid_request", { errors });
  }
};

const missing = (issue: SchemaIssue.Issue): boolean => leaves(issue)[0]?._tag === "MissingKey";

/** The issues at the ends of an issue's tree. */
const leaves = (issue: SchemaIssue.Issue): ReadonlyArray<SchemaIssue.Issue> => {
  switch (issue._tag) {
    case "Composite":
    case "AnyOf":
      return issue.issues.length === 0 ? [issue] : issue.issues.flatMap(leaves);
    case "Pointer":
    case "Filter":
    case "Encoding":
      return leaves(issue.issue);
    case "Forbidden":
    case "InvalidType":
    case "InvalidValue":
    case "MissingKey":
    case "OneOf":
    case "UnexpectedKey":
      return [issue];
  }
};

const format = SchemaIssue.makeFormatterStandardSchemaV1();

const flawsOf = (where: Problem.Flaw["in"], issue: SchemaIssue.Issue): ReadonlyArray<Problem.Flaw> =>
  format(issue)
    .issues.slice(0, FLAWS_MAX)
    .map(({ path = [], message }) => {
      const keys = path.map((segment) => String(typeof segment === "object" ? segment.key : segment));
      // A JSON pointer escapes its two special characters (RFC 6901).
      const pointer = where === "body" ? keys.map((key) => `/${key.replaceAll("~", "~0").replaceAll("/", "~1")}`).join("") : keys.join(".");
      return { in: where, pointer: bounded(pointer), detail: bounded(message) };
    });

/** Characters of a flaw's texts: they may repeat what the caller sent. */
const FLAW_TEXT_MAX = 200;
const bounded = (text: string): string => (text.length > FLAW_TEXT_MAX ? `${text.slice(0, FLAW_TEXT_MAX)}…` : text);

const decodeProblem = Schema.decodeUnknownOption(Schema.fromJsonString(Problem.Body));

/** The answer as a problem with its instance, whatever it was before. */
const complete = (answer: HttpServerResponse.HttpServerResponse, url: string): HttpServerResponse.HttpServerResponse => {
  const instance = url.split("?", 1).join("").slice(0, FLAW_TEXT_MAX);
  const known =
    answer.body._tag === "Uint8Array" && answer.body.contentType.startsWith(ProblemDetails.contentType)
      ? decodeProblem(new TextDecoder().decode(answer.body.body))
      : Option.none();
  const code = ProblemCode.ofStatus(answer.status);
  const problem = Option.match(known, {
    onNone: () => Problem.response(code, code === "unsupported_media_type" ? { detail: undeclared, instance } : { instance }),
    onSome: (body) => ProblemDetails.toResponse({ ...body, instance }),
  });
  const kept = ["allow", "retry-after", "www-authenticate"].flatMap((name): ReadonlyArray<readonly [string, string]> => {
    const value = answer.headers[name];
    return value === undefined ? [] : [[name, value]];
  });
  const full = HttpServerResponse.setHeaders(problem, kept);
  const comesLater = full.status === 503 || (Option.isSome(known) && known.value.code === "idempotency_key_in_flight");
  return comesLater && full.headers["retry-after"] === undefined
    ? HttpServerResponse.setHeader(full, "retry-after", String(RETRY_AFTER_SECONDS))
    : full;
};
