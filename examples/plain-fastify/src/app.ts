/**
 * A shop on Fastify, without Effect: orders by a decider, their fulfilment by a saga, reviews by statements of its own.
 *
 *     POST /orders              201, 400, 409, 422     Idempotency-Key: the same key, the same answer
 *     GET  /orders/:id          200, 404
 *     GET  /orders/:id/steps    200, 404               how far its fulfilment is
 *     POST /orders/:id/reviews  204, 400, 409
 */
import { fileURLToPath } from "node:url";
import { type Bus, event, handler, SagaClient, SagaError } from "@org/saga-core/promise";
import { PgDatabase } from "@org/saga-postgres";
import Fastify, { type FastifyInstance } from "fastify";
import { Fulfilment, stepsOf, type World } from "./Fulfilment.ts";
import * as Order from "./Order.ts";

/** Bytes of a request's body: an order is a few hundred. */
const BODY_BYTES_MAX = 16_384;

const BAD_REQUEST = 400;

const newOrder = {
  type: "object",
  additionalProperties: false,
  required: ["item", "quantity"],
  properties: { item: { type: "string", minLength: 1, maxLength: 128 }, quantity: { type: "integer", minimum: 1, maximum: 1_000 } },
};

const newReview = {
  type: "object",
  additionalProperties: false,
  required: ["stars"],
  properties: { stars: { type: "integer", minimum: 1, maximum: 5 } },
};

const idempotencyKey = {
  type: "object",
  required: ["idempotency-key"],
  properties: { "idempotency-key": { type: "string", format: "uuid" } },
};

export interface Review {
  readonly orderId: string;
  readonly stars: number;
}

export const Reviewed = event(
  "review.written.v1",
  (json): Review => {
    if (typeof json === "object" && json !== null && "orderId" in json && "stars" in json) {
      const { orderId, stars } = json;
      if (typeof orderId === "string" && typeof stars === "number") return { orderId, stars };
    }
    throw new Error("not a review");
  },
  { topic: "reviews", key: ({ orderId }) => orderId },
);

export const migrations = [fileURLToPath(new URL("../migrations", import.meta.url))];

export interface Options {
  /** Unless it is said: embedded, in memory. */
  readonly database?: PgDatabase.PgDatabase;
  /** Unless it is said: the messages stay in this process. */
  readonly bus?: Bus;
  readonly world: World;
  /** Told of each order that is closed: where a mail would be sent. */
  readonly onClosed: (order: Order.Order) => Promise<void>;
  /** Told of each review. */
  readonly onReview: (review: Review) => Promise<void>;
}

/** Ready to listen. `close()` ends the requests in flight, then what they began. */
export const build = async ({ world, onClosed, onReview, ...options }: Options): Promise<FastifyInstance> => {
  const client = await SagaClient.connect({
    database: options.database ?? PgDatabase.embedded({ schema: "shop", migrations }),
    ...(options.bus === undefined ? {} : { bus: options.bus }),
    messages: [Order.Placed, Order.Closed, Reviewed],
  });
  const orders = await client.decider({ name: "order", initial: null, ...Order });
  const fulfilment = await client.saga({
    definition: Fulfilment,
    startsOn: { message: Order.Placed, data: (order) => order },
    steps: stepsOf(world, (id, status) => orders.submit(id, { _tag: "Close", status })),
  });
  await client.on({
    group: "mails",
    handlers: [handler(Order.Closed, ({ body }) => onClosed(body)), handler(Reviewed, ({ body }) => onReview(body))],
  });

  const app = Fastify({
    bodyLimit: BODY_BYTES_MAX,
    // What is not as it should be is refused, not mended.
    ajv: { customOptions: { coerceTypes: false, removeAdditional: false } },
  });
  app.addHook("onClose", () => client.close());

  app.setErrorHandler((error, _request, reply) => {
    if (error instanceof SagaError) return reply.code(error.isRetryable ? 503 : 500).send({ code: error.code });
    const isInvalid = error instanceof Error && "statusCode" in error && error.statusCode === BAD_REQUEST;
    return isInvalid ? reply.code(BAD_REQUEST).send({ code: "invalid", detail: error.message }) : reply.code(500).send({ code: "failed" });
  });

  app.post<{ Body: { item: string; quantity: number }; Headers: { "idempotency-key": string } }>(
    "/orders",
    { schema: { body: newOrder, headers: idempotencyKey } },
    async ({ body, headers }, reply) => {
      // A UUID of the caller's: the order's id as well, so that a request that comes again is about the same order.
      const id = headers["idempotency-key"];
      const answer = await orders.submit(id, { _tag: "Place", id, ...body }, { idempotencyKey: id });
      switch (answer._tag) {
        case "Accepted":
          return reply.code(201).send(answer.state);
        case "Rejected":
          return reply.code(409).send({ code: answer.rejection });
        case "KeyReused":
          return reply.code(422).send({ code: "keyReused" });
        case "InFlight":
          return reply.code(409).send({ code: "inFlight" });
      }
    },
  );

  app.get<{ Params: { id: string } }>("/orders/:id", async ({ params }, reply) => {
    const order = await orders.find(params.id);
    return order ?? reply.code(404).send({ code: "notFound" });
  });

  app.get<{ Params: { id: string } }>("/orders/:id/steps", async ({ params }, reply) => {
    const instance = await fulfilment.find(params.id);
    if (instance === null) return reply.code(404).send({ code: "notFound" });
    const { status, steps, failure } = instance;
    return { status, steps, failure };
  });

  app.post<{ Params: { id: string }; Body: { stars: number } }>(
    "/orders/:id/reviews",
    { schema: { body: newReview } },
    async ({ params, body }, reply) => {
      const review = { orderId: params.id, stars: body.stars };
      const isFirst = await client.transaction(async (tx) => {
        const rows = await tx.sql.query(
          "insert into shop.reviews (order_id, stars) values ($1, $2) on conflict do nothing returning order_id",
          [review.orderId, review.stars],
        );
        if (rows.length > 0) tx.send(Reviewed, review);
        return rows.length > 0;
      });
      return isFirst ? reply.code(204).send() : reply.code(409).send({ code: "exists" });
    },
  );

  return app;
};
