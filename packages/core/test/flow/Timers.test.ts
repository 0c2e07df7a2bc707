import { Effect, Result } from "effect";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  Aggregate,
  Checkout,
  CheckoutMessages as M,
  CommandHandler,
  MemoryDatabase,
  Message,
  SagaRunner,
  type Timer,
  Timers,
  UnitOfWork,
} from "@org/saga-core";

import { orderId, place } from "../domain/Fixtures.ts";
import { simulate } from "./Harness.ts";

const OWNER = "checkout";
const aggregate = SagaRunner.make(Checkout.make({ holdTtlMillis: 3_600_000 }));
const run = CommandHandler.runBatch(aggregate);

const placing = Aggregate.request<SagaRunner.Command>(orderId, (now) => place({ now }));
const cancel = Aggregate.request<SagaRunner.Command>(orderId, (now) => ({ _tag: "Cancel", by: "user", now }));

const reply = <B>(type: Message.MessageType<B>, body: NoInfer<B>, step: string): Aggregate.MessageInput => {
  const meta = {
    id: `${type.type}-${step}`,
    occurredAt: 1,
    correlationId: orderId,
    causationId: null,
    traceparent: null,
    tracestate: null,
  };
  const read = Message.decode(M.catalogue, Message.stamp(type.draft(body, { stepKey: `${orderId}:${step}:1`, saga: "checkout@1" }), meta));
  if (Result.isFailure(read)) throw new Error(read.failure.detail);
  return { _tag: "Message", envelope: read.success };
};

/** What the participants answer when all goes well, in order. */
const replies = [
  reply(M.BalanceSufficient, { orderId }, "check-balance"),
  reply(M.StockReserved, { orderId, until: 9 }, "reserve-stock"),
  reply(M.PaymentAuthorized, { orderId }, "authorize-payment"),
  reply(M.StockCommitted, { orderId }, "commit-stock"),
  reply(M.PaymentCaptured, { orderId }, "capture-payment"),
  reply(M.FulfillmentSucceeded, { orderId }, "fulfill"),
];

/** Everything that is committed, but for the inbox. */
const contents = (database: MemoryDatabase.Database): string =>
  JSON.stringify([database.orders, database.sagas, database.outboxPending, database.timers].map((table) => [...table.committed]));

type Step =
  | { readonly _tag: "Reply" | "Fire" | "Cancel" }
  | { readonly _tag: "Reschedule"; readonly millis: number }
  /** One of the timers that were scheduled at some time and are not now, or not any more with this token. */
  | { readonly _tag: "Stale"; readonly which: number };

const anyStep: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.constant<Step>({ _tag: "Reply" }) },
  { weight: 3, arbitrary: fc.constant<Step>({ _tag: "Fire" }) },
  { weight: 1, arbitrary: fc.constant<Step>({ _tag: "Cancel" }) },
  { weight: 2, arbitrary: fc.record({ _tag: fc.constant("Reschedule" as const), millis: fc.integer({ min: 0, max: 100_000 }) }) },
  { weight: 5, arbitrary: fc.record({ _tag: fc.constant("Stale" as const), which: fc.nat() }) },
);

describe("a firing", () => {
  it("that is out of date does nothing, whatever happened before; a rescheduled timer is not out of date", () => {
    let stale = 0;
    let accepted = 0;
    fc.assert(
      fc.property(fc.array(anyStep, { minLength: 5, maxLength: 30 }), (steps) => {
        simulate(({ database }) =>
          Effect.gen(function* () {
            const timers = yield* Timers;
            const unitOfWork = yield* UnitOfWork;
            const seen = new Map<string, Timer>();
            const current = timers.list(OWNER, orderId);
            const idOf = ({ name, token }: Timer) => `${name} ${token}`;
            let answered = 0;
            yield* run([placing]);
            for (const step of steps) {
              const waiting = yield* current;
              for (const timer of waiting) seen.set(idOf(timer), timer);
              switch (step._tag) {
                case "Reply": {
                  const message = replies[answered];
                  answered += 1;
                  if (message !== undefined) yield* run([message]);
                  break;
                }
                case "Cancel":
                  yield* run([cancel]);
                  break;
                case "Reschedule":
                  yield* unitOfWork.commit(timers.reschedule(waiting.map((timer) => ({ ...timer, dueAt: timer.dueAt + step.millis }))));
                  break;
                case "Fire": {
                  const next = yield* timers.nextDueAt(OWNER);
                  const now = yield* MemoryDatabase.now;
                  if (next !== null && next > now) yield* Effect.sleep(next - now);
                  const [due] = yield* timers.claimDue(OWNER, 1, 1);
                  if (due === undefined) break;
                  // Also one that was rescheduled is still the one that the saga waits for.
                  const before = contents(database);
                  yield* run([{ _tag: "Timer", timer: due }]);
                  expect(contents(database)).not.toBe(before);
                  expect((yield* current).map(idOf)).not.toContain(idOf(due));
                  accepted += 1;
                  break;
                }
                case "Stale": {
                  const ids = waiting.map(idOf);
                  const old = [...seen.values()].filter((timer) => !ids.includes(idOf(timer)));
                  const firing = old[step.which % Math.max(1, old.length)];
                  if (firing === undefined) break;
                  const before = contents(database);
                  yield* run([{ _tag: "Timer", timer: firing }]);
                  expect(contents(database)).toBe(before);
                  stale += 1;
                  break;
                }
              }
            }
          }),
        );
      }),
      { numRuns: 150, seed: 4 },
    );
    // It has tried.
    expect(Math.min(stale, accepted)).toBeGreaterThan(100);
  });
});
