/** The code of docs/guides/participants.md compiles, and does what it says. */
import { readFileSync } from "node:fs";
import { Effect } from "effect";
import { expect, it } from "vitest";
import { type Message, TimerPump } from "@org/saga-core";
import { simulate } from "../flow/Harness.ts";
import { M, payments, type Provider } from "./participants.ts";

const read = (path: string): string => readFileSync(new URL(path, import.meta.url), "utf8");

it("the guide of participants shows the code of participants.ts", () => {
  expect(read("../../../../docs/guides/participants.md")).toContain(`\`\`\`ts\n${read("./participants.ts")}\`\`\``);
});

it("the guide's participant charges once although the answer is lost, and pays back under a key of its own", () => {
  const made: Array<string> = [];
  const provider: Provider = {
    charge: (key) =>
      Effect.andThen(
        Effect.sync(() => made.push(key)),
        Effect.fail(new Error("the answer was lost")),
      ),
    refund: (key, charge) => Effect.sync(() => void made.push(`${key} of ${charge}`)),
    find: (key) => Effect.succeed(made.includes(key) ? "charged" : null),
  };
  const nobody = { correlationId: "o", causationId: null, traceparent: null, tracestate: null };
  const message = <B>({ type }: Message.MessageType<B>, body: B): Message.Envelope => ({
    id: type,
    type,
    topic: "payment",
    key: "o",
    occurredAt: 0,
    stepKey: "o:pay:1",
    saga: "shop@1",
    ...nobody,
    body,
  });
  const types = simulate(({ database }) =>
    Effect.gen(function* () {
      const participant = yield* payments(provider);
      for (const each of [message(M.Pay, { order: "o", amount: 5 }), message(M.Refund, { order: "o" })]) {
        yield* participant.handle([each]);
        for (let second = 0; second < 5; second += 1) {
          yield* TimerPump.pumpOnce("payment", participant.onTimers);
          yield* Effect.sleep("1 second");
        }
      }
      return [...database.outboxPending.committed.values()].map(({ message: { type } }) => type);
    }),
  );
  expect(made).toEqual(["o:pay:1", "o:pay:1/undo of o:pay:1"]);
  expect(types).toEqual([M.Paid.type, M.Refunded.type]);
});
