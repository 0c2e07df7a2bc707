import { Result, Schema } from "effect";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CheckoutMessages, Message, Money } from "@org/saga-core";

const Greeted = Message.event("greeting.said.v2", Schema.Struct({ to: Schema.String, at: Schema.DateTimeUtcFromMillis }), {
  topic: "greeting.events",
  key: (body) => body.to,
});
const catalogue = Message.catalogue([Greeted]);

const meta = { id: "m-1", occurredAt: 5, correlationId: "c-1", causationId: "m-0", traceparent: null, tracestate: null };

const encoded = (overrides: Partial<Message.Encoded> = {}): Message.Encoded => {
  const body = Greeted.decode({ to: "ada", at: 1_000 });
  if (Result.isFailure(body)) throw new Error("fixture");
  return { ...Message.stamp(Greeted.draft(body.success, { stepKey: "i:s:1", saga: "x@1" }), meta), ...overrides };
};

describe("a message", () => {
  it("declares its version and topic by its name", () => {
    expect(Greeted).toMatchObject({ kind: "event", version: 2, topic: "greeting.events" });
    expect(() => Message.command("no.version", Schema.Struct({}), { topic: "t", key: () => "k" })).toThrow("version suffix");
  });

  it("survives the way through outbox and bus", () => {
    const read = Message.decode(catalogue, encoded());
    if (Result.isFailure(read)) throw new Error(read.failure.detail);
    expect(read.success).toMatchObject({
      id: "m-1",
      key: "ada",
      topic: "greeting.events",
      correlationId: "c-1",
      causationId: "m-0",
      stepKey: "i:s:1",
      saga: "x@1",
    });
    expect(Greeted.is(read.success) && read.success.body.to).toBe("ada");
    expect("payload" in read.success).toBe(false);
  });

  it("that cannot be read says why, and never shows its payload", () => {
    const problem = (overrides: Partial<Message.Encoded>): Message.Unreadable => {
      const read = Message.decode(catalogue, encoded(overrides));
      if (Result.isSuccess(read)) throw new Error("readable");
      expect(JSON.stringify(read.failure)).not.toContain("secret");
      return read.failure;
    };
    expect(problem({ type: "other.v1" }).problem).toBe("unknownType");
    expect(problem({ payload: "{secret" }).problem).toBe("malformedJson");
    expect(problem({ payload: '{"to":1,"secret":2}' }).problem).toBe("schemaMismatch");
    expect(problem({ payload: `"${"secret".repeat(200_000)}"` }).problem).toBe("tooLarge");
  });

  it("is declared once in a catalogue", () => {
    expect(() => Message.catalogue([Greeted, Greeted])).toThrow("declared twice");
    expect(CheckoutMessages.catalogue.topics).toEqual([
      "fulfillment.commands",
      "fulfillment.events",
      "inventory.commands",
      "inventory.events",
      "order.events",
      "payment.commands",
      "payment.events",
    ]);
  });
});

describe("money", () => {
  it("adds amounts of one currency and refuses two", () => {
    expect(Money.add(Money.of(1, "EUR"), Money.of(2, "EUR"))).toEqual(Result.succeed(Money.of(3, "EUR")));
    expect(Money.add(Money.of(1, "EUR"), Money.of(2, "USD"))).toMatchObject({ failure: { _tag: "CurrencyMismatch" } });
    expect(Money.equals(Money.of(1, "EUR"), Money.of(1, "EUR"))).toBe(true);
    expect(Money.equals(Money.of(1, "EUR"), Money.of(1, "USD"))).toBe(false);
  });

  it("is whole, bounded and never negative", () => {
    for (const wrong of [-1, 0.5, Number.NaN, 1e13]) expect(() => Money.of(wrong, "EUR")).toThrow();
    expect(() => Money.of(1, "euro")).toThrow();
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 1_000_000 }), fc.integer({ min: 1, max: 100 }), (unit, quantity) => {
        expect(Money.times(Money.of(unit, "EUR"), quantity)).toEqual(Money.of(unit * quantity, "EUR"));
      }),
    );
  });
});
