import { assert, describe, it } from "@effect/vitest";
import { Effect, Redacted, Result } from "effect";
import { Webhook } from "../src/index.ts";

const old = Redacted.make("old-secret");
const fresh = Redacted.make("new-secret");
const body = '{"id":"evt_1"}';
const at = 1_700_000_000_000;

const verify = (delivery: Partial<Webhook.Delivery>): string =>
  Result.match(Webhook.verify({ header: Webhook.sign(body, at, [old]), body, nowMillis: at, secrets: [old], ...delivery }), {
    onSuccess: () => "ok",
    onFailure: (refusal) => refusal,
  });

describe("Webhook", () => {
  it("signs in Stripe's form", () => {
    // HMAC-SHA256("old-secret", "1700000000." + body), computed with openssl.
    assert.match(Webhook.sign(body, at, [old]), /^t=1700000000,v1=[0-9a-f]{64}$/);
    assert.strictEqual(Webhook.sign(body, at, [old]), "t=1700000000,v1=955129646947573e53ab0873222abda3caeda8f6bfcf1e940b8f676953b3e0a5");
  });

  it("accepts its own signature, to the edges of the tolerance", () => {
    assert.strictEqual(verify({}), "ok");
    assert.strictEqual(verify({ nowMillis: at + 300_000 }), "ok");
    assert.strictEqual(verify({ nowMillis: at - 300_000 }), "ok");
  });

  it("refuses what is too old, and what comes from the future", () => {
    assert.strictEqual(verify({ nowMillis: at + 301_000 }), "SignatureTooOld");
    assert.strictEqual(verify({ nowMillis: at - 301_000 }), "SignatureTooOld");
    assert.strictEqual(verify({ nowMillis: at + 2_000, toleranceSeconds: 1 }), "SignatureTooOld");
  });

  it("accepts either secret while one rotates, on either side", () => {
    const both = Webhook.sign(body, at, [fresh, old]);
    assert.strictEqual(verify({ header: both, secrets: [old] }), "ok");
    assert.strictEqual(verify({ header: both, secrets: [fresh] }), "ok");
    assert.strictEqual(verify({ secrets: [fresh, old] }), "ok");
    assert.strictEqual(verify({ secrets: [fresh] }), "SignatureWrong");
    assert.strictEqual(verify({ secrets: [] }), "SignatureWrong");
  });

  it("refuses another body, another time and another signature", () => {
    assert.strictEqual(verify({ body: `${body} ` }), "SignatureWrong");
    const moved = Webhook.sign(body, at, [old]).replace("t=1700000000", "t=1700000001");
    assert.strictEqual(verify({ header: moved }), "SignatureWrong");
    assert.strictEqual(verify({ header: `t=1700000000,v1=${"0".repeat(64)}` }), "SignatureWrong");
  });

  it("ignores schemes that it does not know", () => {
    assert.strictEqual(verify({ header: `${Webhook.sign(body, at, [old])},v0=abc,v2=def` }), "ok");
  });

  it("refuses a header that is missing or malformed", () => {
    assert.strictEqual(verify({ header: undefined }), "SignatureMissing");
    for (const header of ["", "nonsense", "t=1700000000", `v1=${"0".repeat(64)}`, "t=x,v1=00", "t=1700000000,v1=zz"]) {
      assert.strictEqual(verify({ header }), "SignatureMalformed", header);
    }
    const signature = `v1=${"0".repeat(64)}`;
    assert.strictEqual(verify({ header: `t=1,t=2,${signature}` }), "SignatureMalformed");
    assert.strictEqual(verify({ header: `t=1700000000,${Array.from({ length: 9 }, () => signature).join(",")}` }), "SignatureMalformed");
  });

  it.effect("reads what it writes, and refuses anything else", () =>
    Effect.gen(function* () {
      const event: Webhook.Event = {
        id: "evt_1",
        type: "payment.captured",
        created: 1,
        data: { reference: "order-1", orderId: "order-1", amount: 5, currency: "EUR" },
      };
      assert.deepStrictEqual(yield* Webhook.decodeEvent(Webhook.encodeEvent(event)), event);
      yield* Effect.flip(Webhook.decodeEvent("{}"));
      yield* Effect.flip(Webhook.decodeEvent("not json"));
    }),
  );
});
