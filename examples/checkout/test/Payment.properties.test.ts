import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Payment } from "@example/checkout";
import { decider, type Line, orderId, request, terms, World } from "./PaymentWorld.ts";

type Step =
  | { readonly _tag: "ask"; readonly what: "Authorize" | "Capture" | "Void" | "Refund" }
  /** What a coordinator would ask next. */
  | { readonly _tag: "next" }
  | { readonly _tag: "fire"; readonly line: Line }
  | { readonly _tag: "settle" }
  | { readonly _tag: "webhook"; readonly index: number; readonly again: boolean }
  | { readonly _tag: "wait"; readonly millis: number }
  | { readonly _tag: "stale"; readonly finding: Payment.Finding; readonly seq: number };

/** Findings that may reach a payment late, from a call that was given up: nothing that its provider would not have said. */
const stale: ReadonlyArray<Payment.Finding> = ["unknown", "notFound", "accepted"];

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.constant({ _tag: "next" as const }) },
  {
    weight: 1,
    arbitrary: fc.record({ _tag: fc.constant("ask" as const), what: fc.constantFrom("Authorize", "Capture", "Void", "Refund") }),
  },
  {
    weight: 8,
    arbitrary: fc.record({ _tag: fc.constant("fire" as const), line: fc.constantFrom<Line>("works", "lostRequest", "lostAnswer", "dies") }),
  },
  { weight: 6, arbitrary: fc.constant({ _tag: "fire" as const, line: "works" as const }) },
  { weight: 3, arbitrary: fc.constant({ _tag: "settle" as const }) },
  { weight: 3, arbitrary: fc.record({ _tag: fc.constant("webhook" as const), index: fc.nat(3), again: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ _tag: fc.constant("wait" as const), millis: fc.nat(400) }) },
  {
    weight: 1,
    arbitrary: fc.record({ _tag: fc.constant("stale" as const), finding: fc.constantFrom(...stale), seq: fc.nat(10) }),
  },
);

const NEXT: { readonly [K in Payment.Status]: "Authorize" | "Capture" | "Void" | "Refund" } = {
  none: "Authorize",
  authorizing: "Authorize",
  authorized: "Capture",
  declined: "Void",
  capturing: "Capture",
  captured: "Refund",
  captureRefused: "Void",
  voiding: "Void",
  voided: "Authorize",
  refunding: "Refund",
  refunded: "Void",
  refundRefused: "Refund",
};

const play = (world: World, steps: ReadonlyArray<Step>): void => {
  for (const each of steps) {
    switch (each._tag) {
      case "ask":
        world.submit(request(each.what, world.now));
        break;
      case "next":
        world.submit(request(NEXT[world.state.status], world.now));
        break;
      case "fire":
        world.fire(each.line);
        break;
      case "settle":
        world.settle();
        break;
      case "webhook":
        world.webhook(each.index, each.again);
        break;
      case "wait":
        world.now += each.millis;
        break;
      case "stale":
        world.submit({ _tag: "Report", orderId, finding: each.finding, seq: each.seq, now: world.now });
        break;
    }
  }
};

const steps = fc.array(step, { maxLength: 60, size: "max" });
const RUNS = { numRuns: 1_000 };

describe("a payment, whatever is asked, lost, repeated or delayed", () => {
  test("moves only along its table, and never returns what it did not take", () => {
    fc.assert(
      fc.property(steps, fc.boolean(), (all, declines) => {
        const world = new World(declines);
        for (const each of all) {
          play(world, [each]);
          const { captured, refunded, status } = world.state;
          expect(world.illegal).toEqual([]);
          expect(refunded).toBeLessThanOrEqual(captured);
          if (status === "refunding" || status === "refunded" || status === "refundRefused") expect(captured).toBe(terms.amount.amount);
          expect(world.books.captures).toBeLessThanOrEqual(1);
          expect(world.books.refunds).toBeLessThanOrEqual(world.books.captures);
        }
      }),
      RUNS,
    );
  });

  test("comes to rest when the faults stop, and agrees with the provider's books about the money (G3, G9)", () => {
    fc.assert(
      fc.property(steps, fc.boolean(), (all, declines) => {
        const world = new World(declines);
        play(world, all);
        world.rest();
        const { state, books } = world;
        expect(state.work).toBeNull();
        expect(["none", "authorized", "declined", "captured", "captureRefused", "voided", "refunded"]).toContain(state.status);
        const left = (books.captures - books.refunds) * terms.amount.amount;
        expect(state.captured - state.refunded).toBe(left);
        expect(left).toBe(state.status === "captured" ? terms.amount.amount : 0);
        if (state.status === "voided") expect(["none", "declined", "canceled", "refunded"]).toContain(books.status);
      }),
      RUNS,
    );
  });

  test("answers everyone who asked, with an answer that was meant for them", () => {
    fc.assert(
      fc.property(steps, fc.boolean(), (all, declines) => {
        const world = new World(declines);
        play(world, all);
        world.rest();
        const heard = new Set(world.replies.map(({ stepKey }) => stepKey));
        for (const to of Object.values(world.state.asked)) {
          if (to !== null) expect(heard).toContain(to.stepKey);
        }
        for (const { type, stepKey } of world.replies) expect(ANSWERS[stepKey ?? ""]).toContain(type);
      }),
      RUNS,
    );
  });

  test("asks once more at rest and hears what it heard before, without a call (G6)", () => {
    fc.assert(
      fc.property(steps, fc.constantFrom("Authorize", "Capture", "Void", "Refund"), (all, what) => {
        const world = new World();
        play(world, all);
        world.rest();
        world.submit(request(what, world.now));
        world.rest();
        const said = world.replies.at(-1);
        const books = world.books;
        world.submit(request(what, world.now));
        world.rest();
        expect(world.replies.at(-1)).toEqual(said);
        expect(world.books).toEqual(books);
      }),
      RUNS,
    );
  });
});

const key = (what: string): string => `${orderId}:${what}:1`;

const ANSWERS: Readonly<Record<string, ReadonlyArray<string>>> = {
  [key("Authorize")]: ["payment.authorized.v1", "payment.declined.v1"],
  [key("Capture")]: ["payment.captured.v1", "payment.capture-refused.v1"],
  [key("Void")]: ["payment.voided.v1", "payment.refund-refused.v1"],
  [key("Refund")]: ["payment.refunded.v1", "payment.refund-refused.v1"],
};

describe("a payment's table", () => {
  test("has nothing that cannot be reached, and every rest has its way on to where the money is settled", () => {
    const reached = new Set<Payment.Status>();
    fc.assert(
      fc.property(steps, fc.boolean(), (all, declines) => {
        const world = new World(declines);
        for (const each of all) {
          play(world, [each]);
          reached.add(world.state.status);
        }
      }),
      RUNS,
    );
    expect([...Payment.machine.states].filter((status) => !reached.has(status))).toEqual(["refundRefused"]);
    expect(decider.initial).toEqual(Payment.initial);
  });
});
