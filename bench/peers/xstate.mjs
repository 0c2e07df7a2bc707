/**
 * XState: the order as a machine with the same statuses, guards, context and history, moved by its pure `transition`.
 */
import { assign, initialTransition, setup, transition } from "xstate";
import { forAWhile, ORDER, WALKS } from "../src/core/Walks.ts";
import * as Serve from "../src/Serve.ts";

/** The time of every command: ours has none of its own either. */
const NOW = 1_000;

const enter = (status, reason, more = {}) =>
  assign(({ context, event }) => {
    const why = reason(context, event);
    return {
      status,
      reason: why,
      history: [...context.history, { status, at: NOW, reason: why }],
      version: context.version + 1,
      ...more,
    };
  });

const none = () => null;
const given = (_, event) => event.reason;
const kept = (context) => context.reason;
const byUser = () => "canceledByUser";

const END_OF = { paymentDeclined: "failed", fulfillmentFailed: "failed", outOfStock: "canceled" };
const endsAs =
  (status) =>
  ({ event }) =>
    END_OF[event.reason] === status;

const close = [
  { guard: endsAs("failed"), target: "failed", actions: enter("failed", given) },
  { guard: endsAs("canceled"), target: "canceled", actions: enter("canceled", given) },
];

/** Asked for once; the saga answers it with Close. */
const cancel = {
  guard: ({ context }) => !context.cancelRequested && context.cancelPolicy === "compensating",
  actions: assign(({ context }) => ({ cancelRequested: true, version: context.version + 1 })),
};

const machine = setup({}).createMachine({
  id: "order",
  initial: "none",
  context: ({ input }) => ({
    ...input,
    total: null,
    status: "none",
    reason: null,
    cancelRequested: false,
    paid: false,
    history: [],
    version: 0,
  }),
  states: {
    none: {
      on: {
        Place: {
          guard: ({ event }) => event.lines.length > 0,
          target: "created",
          actions: [
            assign(({ event }) => ({
              id: event.id,
              customerId: event.customerId,
              lines: event.lines,
              paymentMethod: event.paymentMethod,
              cancelPolicy: event.cancelPolicy,
              total: {
                amount: event.lines.reduce((sum, { quantity, unitPrice }) => sum + quantity * unitPrice.amount, 0),
                currency: event.lines[0].unitPrice.currency,
              },
            })),
            enter("created", none),
          ],
        },
      },
    },
    created: {
      on: {
        StartCheckout: { target: "pendingPayment", actions: enter("pendingPayment", none) },
        Cancel: { target: "canceled", actions: enter("canceled", byUser) },
        Close: close,
      },
    },
    pendingPayment: {
      on: {
        CompleteCheckout: { target: "awaitingPayment", actions: enter("awaitingPayment", none) },
        Cancel: cancel,
        Close: close,
      },
    },
    awaitingPayment: {
      on: {
        ConfirmPayment: { target: "awaitingFulfillment", actions: enter("awaitingFulfillment", none, { paid: true }) },
        Cancel: cancel,
        Close: close,
      },
    },
    awaitingFulfillment: {
      on: {
        Finish: { target: "finished", actions: enter("finished", none) },
        Close: { target: "failed", actions: enter("failed", given) },
      },
    },
    failed: {
      on: {
        Refund: { guard: ({ context }) => context.paid, target: "refunded", actions: enter("refunded", kept) },
      },
    },
    canceled: {},
    finished: {},
    refunded: {},
  },
});

const walks = WALKS.map((walk) => walk.map((move) => (move.type === "Place" ? { ...ORDER, ...move } : move)));
const [start] = initialTransition(machine, {});

const walk = (events) => {
  let snapshot = start;
  for (const event of events) [snapshot] = transition(machine, snapshot, event);
  if (snapshot.value !== snapshot.context.status) throw new Error(`the machine is not in ${snapshot.context.status}`);
  return snapshot.context;
};

Serve.serve({ transitions: async ({ millis }) => forAWhile(millis, () => walks.map(walk)) });
