/** The code of docs/guides/sagas.md compiles, and does what it says. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { type Message, Saga, SagaDecider } from "@org/saga-core";
import { M, Shop } from "./sagas.ts";

const read = (path: string): string => readFileSync(new URL(path, import.meta.url), "utf8");

type Data = Parameters<typeof Shop.onUndone>[1];

const line = { sku: "tea", quantity: 3, price: 500 };
const data: Data = { order: "o", card: "old", lines: [line], missing: [] };

class Run {
  instance: SagaDecider.Instance<Data> | null = null;
  asked: ReadonlyArray<readonly [string, unknown]> = [];

  constructor(start: Data = data) {
    this.input({ _tag: "Start", id: "o", data: start, now: 0 });
  }

  input(input: SagaDecider.Input<Data>): this {
    const [next, sends] = SagaDecider.transition(Shop, this.instance, input);
    this.instance = next;
    this.asked = sends.flatMap((send) => (send._tag === "Message" ? [[send.draft.type, send.draft.json] as const] : []));
    return this;
  }

  tell<B>(type: Message.MessageType<B>, body: NoInfer<B>, step: string | null): this {
    const stepKey = step === null || this.instance === null ? null : SagaDecider.stepKey(this.instance, step);
    const nobody = { correlationId: "o", causationId: null, traceparent: null, tracestate: null };
    const envelope = { id: "m", type: type.type, topic: "shop", key: "o", occurredAt: 0, stepKey, saga: null, ...nobody, body };
    return this.input({ _tag: "Reply", envelope, now: 1 });
  }

  paid(): this {
    return this.tell(M.Harmless, ref, "check-fraud").tell(M.Reserved, ref, "reserve").tell(M.Paid, ref, "pay");
  }
}

const ref = { order: "o" };

describe("the guide of sagas", () => {
  it("shows the code of sagas.ts, which compiles", () => {
    expect(read("../../../../docs/guides/sagas.md")).toContain(`\`\`\`ts\n${read("./sagas.ts")}\`\`\``);
  });

  it("shows a saga that gives back and pays back by quantity what is missing, and nothing when nothing is", () => {
    const short = new Run().paid().tell(M.Packed, { order: "o", missing: [{ ...line, quantity: 1 }] }, "pack");
    expect(short.asked).toEqual([
      ["shop.release.v1", { order: "o", lines: [{ ...line, quantity: 1 }] }],
      ["shop.refund.v1", { order: "o", amount: 500 }],
    ]);
    short.tell(M.Refunded, ref, "refund-missing").tell(M.Released, ref, "release-missing");
    expect(short.instance?.status).toBe("completed");
    expect(new Run().paid().tell(M.Packed, { order: "o", missing: [] }, "pack").instance?.status).toBe("completed");
  });

  it("shows a saga that pays back everything when nothing can be packed", () => {
    const turned = new Run().paid().tell(M.CannotPack, ref, "pack");
    expect(turned.asked).toEqual([["shop.refund.v1", { order: "o", amount: 1_500 }]]);
    expect(turned.tell(M.Refunded, ref, "pay").asked).toEqual([["shop.release.v1", { order: "o", lines: [line] }]]);
  });

  it("shows a saga that ends well whatever happens", () => {
    expect(new Set(Saga.check(Shop).ends.map(({ status }) => status))).toEqual(new Set(["completed", "compensated", "compensationFailed"]));
  });

  it("shows a saga that tries another card before it undoes anything, and asks a person about large orders", () => {
    const other = new Run().tell(M.Harmless, ref, "check-fraud").tell(M.Reserved, ref, "reserve").tell(M.Declined, ref, "pay");
    expect(other.asked).toEqual([]);
    expect(other.tell(M.CardChanged, { order: "o", card: "new" }, null).asked).toEqual([
      ["shop.pay.v1", { order: "o", amount: 1_500, card: "new" }],
    ]);
    const large = new Run({ ...data, lines: [{ ...line, price: 50_000 }] });
    large.tell(M.Harmless, ref, "check-fraud").tell(M.Reserved, ref, "reserve");
    expect(large.asked).toEqual([]);
    expect(large.tell(M.Approved, ref, null).asked.map(([type]) => type)).toEqual(["shop.pay.v1"]);
  });
});
