import { Effect, Layer, Schema } from "effect";
import { describe, expect, it } from "vitest";
import { CheckoutMessages as M, CustomerId, DocumentStore, type Message, Money, OrderId } from "@org/saga-core";
import { Conversation, Simulator } from "@org/saga-core/testing";
import { CheckoutService, Payment, PaymentWebhook } from "@example/checkout";
import { eventOf, ProviderFake } from "./ProviderFake.ts";

const orderId = OrderId.make("order-1");
const price = Money.of(1_999, "EUR");

const asked = (step: string) => ({ stepKey: `order-1:${step}:1`, saga: "checkout@1" });
const body = (paymentMethod = "pm_success", amount = price) => ({ orderId, customerId: CustomerId.make("ada"), amount, paymentMethod });
const authorize = (paymentMethod?: string) => M.AuthorizePayment.draft(body(paymentMethod), asked("authorize-payment"));
const capture = M.CapturePayment.draft({ orderId }, asked("capture-payment"));
const voided = M.VoidPayment.draft({ orderId }, asked("authorize-payment"));
const refund = M.RefundPayment.draft({ orderId }, asked("capture-payment"));
const check = (amount = price) => M.CheckBalance.draft(body("pm_success", amount), asked("check-balance"));

const settings = {
  authorizeDeadlineMillis: 5_000,
  captureDeadlineMillis: 5_000,
  callLeaseMillis: 1_000,
  retryMillis: { first: 200, max: 1_000 },
};

const serviceOf = (provider: ProviderFake) =>
  Layer.merge(CheckoutService.roles(["relay", "consumer", "worker"]), provider.courier).pipe(
    Layer.provide(CheckoutService.layer(settings)),
    Layer.provide(provider.layer),
  );

interface Options {
  readonly provider?: ProviderFake;
  readonly faults?: Simulator.Faults;
  readonly seed?: number;
}

/** Long enough for every deadline, in milliseconds. */
const LONG = 60_000;

const hold = <A, E>(
  script: (talk: Conversation.Talk, provider: ProviderFake) => Effect.Effect<A, E, Conversation.Ports>,
  { provider = new ProviderFake(), faults = Simulator.noFaults, seed = 1 }: Options = {},
): A => Conversation.hold({ service: serviceOf(provider), catalogue: M.catalogue, faults, seed }, (talk) => script(talk, provider));

const said = (talk: Conversation.Talk): ReadonlyArray<string> =>
  talk.heard().map(({ type, stepKey, body: told }) => {
    const reason = typeof told === "object" && told !== null && "reason" in told ? ` ${String(told.reason)}` : "";
    return `${type.replace(/^payment\.|\.v1$/g, "")}${reason} → ${stepKey?.split(":")[1] ?? "nobody"}`;
  });

const state = Effect.gen(function* () {
  const found = (yield* (yield* DocumentStore).find(CheckoutService.NAME, [orderId])).get(orderId);
  return found === undefined ? null : Schema.decodeUnknownSync(Schema.toCodecJson(Payment.Payment))(found.state);
});

/** Tells each, and waits until it is settled. */
const tellAll = Effect.fnUntraced(function* (talk: Conversation.Talk, ...drafts: ReadonlyArray<Message.Draft>) {
  for (const draft of drafts) {
    yield* talk.tell(draft);
    yield* talk.wait(LONG);
  }
});

const answers: ReadonlyArray<{
  readonly name: string;
  readonly told: ReadonlyArray<Message.Draft>;
  readonly heard: ReadonlyArray<string>;
  readonly calls: ReadonlyArray<Payment.Call>;
}> = [
  { name: "an authorization is granted", told: [authorize()], heard: ["authorized → authorize-payment"], calls: ["authorize"] },
  {
    name: "an authorization is declined",
    told: [authorize("pm_decline")],
    heard: ["declined declined → authorize-payment"],
    calls: ["authorize"],
  },
  {
    name: "a capture is confirmed by the webhook, not by the call",
    told: [authorize(), capture],
    heard: ["authorized → authorize-payment", "captured → capture-payment"],
    calls: ["authorize", "capture"],
  },
  {
    name: "everything repeated is answered again, without a call",
    told: [authorize(), authorize(), capture, capture, refund, refund, voided, voided],
    heard: [
      "authorized → authorize-payment",
      "authorized → authorize-payment",
      "captured → capture-payment",
      "captured → capture-payment",
      "refunded → capture-payment",
      "refunded → capture-payment",
      "voided → authorize-payment",
      "voided → authorize-payment",
    ],
    calls: ["authorize", "capture", "refund"],
  },
  {
    name: "a void cancels the authorization",
    told: [authorize(), voided, voided],
    heard: ["authorized → authorize-payment", "voided → authorize-payment", "voided → authorize-payment"],
    calls: ["authorize", "cancel"],
  },
  {
    name: "a void of something never seen leaves a tombstone: the authorization that comes later is refused",
    told: [voided, authorize()],
    heard: ["voided → authorize-payment", "declined declined → authorize-payment"],
    calls: [],
  },
  {
    name: "a void of what was declined calls nobody",
    told: [authorize("pm_decline"), voided],
    heard: ["declined declined → authorize-payment", "voided → authorize-payment"],
    calls: ["authorize"],
  },
  {
    name: "a void of what was captured gives the money back",
    told: [authorize(), capture, voided],
    heard: ["authorized → authorize-payment", "captured → capture-payment", "voided → authorize-payment"],
    calls: ["authorize", "capture", "refund"],
  },
  { name: "a capture of nothing is refused", told: [capture], heard: ["capture-refused declined → capture-payment"], calls: [] },
  {
    name: "a capture after a void is refused",
    told: [authorize(), voided, capture],
    heard: ["authorized → authorize-payment", "voided → authorize-payment", "capture-refused declined → capture-payment"],
    calls: ["authorize", "cancel"],
  },
  { name: "a refund of nothing is refused", told: [refund], heard: ["refund-refused → capture-payment"], calls: [] },
  { name: "a balance that is enough", told: [check()], heard: ["balance-sufficient → check-balance"], calls: [] },
  {
    name: "a balance that is not enough, or in another currency",
    told: [check(Money.of(100_001, "EUR")), check(Money.of(1, "USD"))],
    heard: ["balance-insufficient → check-balance", "balance-insufficient → check-balance"],
    calls: [],
  },
];

/** Schedules of crashes that a test tries, and how long it may take for that on a busy machine, in milliseconds. */
const SEEDS = 8;
const CRASHES_MS = 60_000;

describe("the checkout service answers", () => {
  it.each(answers)("$name", ({ told, heard, calls }) => {
    hold(
      Effect.fnUntraced(function* (talk, provider) {
        yield* tellAll(talk, ...told);
        expect(said(talk)).toEqual(heard);
        expect(provider.calls).toEqual(calls);
      }),
    );
  });

  it("a customer whom the provider rejects with an insufficient balance", () => {
    const provider = new ProviderFake();
    provider.balanceLine = () => "rejects";
    hold(
      Effect.fnUntraced(function* (talk) {
        yield* tellAll(talk, check());
        expect(said(talk)).toEqual(["balance-insufficient → check-balance"]);
      }),
      { provider },
    );
  });

  it("a balance check when the provider is back, and nothing before", () => {
    const provider = new ProviderFake();
    let isAway = true;
    provider.balanceLine = () => (isAway ? "lostRequest" : "works");
    hold(
      Effect.fnUntraced(function* (talk) {
        yield* tellAll(talk, check());
        expect(said(talk)).toEqual([]);
        isAway = false;
        yield* talk.wait(LONG);
        expect(said(talk)).toEqual(["balance-sufficient → check-balance"]);
      }),
      { provider },
    );
  });
});

describe("an unknown outcome", () => {
  it("is probed before anything else: an authorization whose answer was lost is made once", () => {
    const provider = new ProviderFake();
    provider.line = (call, n) => (call === "authorize" && n === 1 ? "lostAnswer" : "works");
    hold(
      Effect.fnUntraced(function* (talk) {
        yield* tellAll(talk, authorize());
        expect(said(talk)).toEqual(["authorized → authorize-payment"]);
        expect(provider.calls).toEqual(["authorize", "probe"]);
      }),
      { provider },
    );
  });

  it("that the provider never heard of is not yet one, and is asked for again under the same key", () => {
    const provider = new ProviderFake();
    provider.line = (call, n) => (call === "authorize" && n === 1 ? "lostRequest" : "works");
    hold(
      Effect.fnUntraced(function* (talk) {
        yield* tellAll(talk, authorize());
        expect(said(talk)).toEqual(["authorized → authorize-payment"]);
        expect(provider.calls).toEqual(["authorize", "probe", "authorize"]);
      }),
      { provider },
    );
  });

  it("at its deadline is canceled at the provider, and only then declined with a timeout", () => {
    const provider = new ProviderFake();
    provider.line = (call) => (call === "authorize" ? "lostRequest" : "works");
    hold(
      Effect.fnUntraced(function* (talk) {
        yield* talk.tell(authorize());
        yield* talk.wait(4_900);
        expect(said(talk)).toEqual([]);
        yield* talk.wait(LONG);
        expect(said(talk)).toEqual(["declined timeout → authorize-payment"]);
        expect(provider.calls.at(-1)).toBe("cancel");
        expect(provider.intents.get(orderId)?.status).toBe("canceled");
      }),
      { provider },
    );
  });

  it("of a cancel at the deadline is not believed either: nobody hears of it before the provider is back", () => {
    const provider = new ProviderFake();
    let isAway = true;
    provider.line = () => (isAway ? "lostRequest" : "works");
    hold(
      Effect.fnUntraced(function* (talk) {
        yield* tellAll(talk, authorize());
        expect(said(talk)).toEqual([]);
        isAway = false;
        yield* talk.wait(LONG);
        expect(said(talk)).toEqual(["declined timeout → authorize-payment"]);
      }),
      { provider },
    );
  });

  it("of a capture is asked for again after a probe, and captures once", () => {
    const provider = new ProviderFake();
    provider.line = (call, n) => (call === "capture" && n === 1 ? "lostRequest" : "works");
    hold(
      Effect.fnUntraced(function* (talk) {
        yield* tellAll(talk, authorize(), capture);
        expect(said(talk).at(-1)).toBe("captured → capture-payment");
        expect(provider.calls).toEqual(["authorize", "capture", "probe", "capture"]);
        expect(provider.intents.get(orderId)).toMatchObject({ status: "captured", captures: 1 });
      }),
      { provider },
    );
  });

  it("of a capture whose webhook never comes is found by a probe", () => {
    const provider = new ProviderFake();
    provider.tells = false;
    hold(
      Effect.fnUntraced(function* (talk) {
        yield* tellAll(talk, authorize(), capture);
        expect(said(talk).at(-1)).toBe("captured → capture-payment");
        expect(provider.calls).toEqual(["authorize", "capture", "probe"]);
      }),
      { provider },
    );
  });

  it("of a capture that never ends is canceled at its deadline, and refused with a timeout", () => {
    const provider = new ProviderFake();
    provider.captures = false;
    hold(
      Effect.fnUntraced(function* (talk) {
        yield* tellAll(talk, authorize(), capture, voided);
        expect(said(talk).slice(1)).toEqual(["capture-refused timeout → capture-payment", "voided → authorize-payment"]);
        expect(provider.intents.get(orderId)).toMatchObject({ status: "canceled", captures: 0 });
      }),
      { provider },
    );
  });

  it("of an authorization that is voided meanwhile ends canceled at the provider", () => {
    const provider = new ProviderFake();
    provider.line = (call) => (call === "authorize" ? "lostAnswer" : "works");
    hold(
      Effect.fnUntraced(function* (talk) {
        yield* talk.tell(authorize());
        yield* talk.wait(100);
        yield* talk.tell(voided);
        yield* talk.wait(LONG);
        expect(said(talk)).toEqual(["declined declined → authorize-payment", "voided → authorize-payment"]);
        expect(provider.intents.get(orderId)?.status).toBe("canceled");
      }),
      { provider },
    );
  });

  it("of a refund is settled by a probe, and refunds once", () => {
    const provider = new ProviderFake();
    provider.line = (call, n) => (call === "refund" && n === 1 ? "lostAnswer" : "works");
    provider.tells = false;
    hold(
      Effect.fnUntraced(function* (talk) {
        yield* tellAll(talk, authorize(), capture, refund);
        expect(said(talk).at(-1)).toBe("refunded → capture-payment");
        expect(provider.intents.get(orderId)).toMatchObject({ status: "refunded", refunds: 1 });
        expect(provider.count("refund")).toBe(1);
      }),
      { provider },
    );
  });
});

describe("a call that the provider rejects", () => {
  it.each([
    ["authorize", [authorize()], "declined declined → authorize-payment"],
    ["capture", [authorize(), capture], "capture-refused declined → capture-payment"],
    ["refund", [authorize(), capture, refund], "refund-refused → capture-payment"],
  ] as const)("is refused for good: %s", (rejected, told, heard) => {
    const provider = new ProviderFake();
    provider.line = (call) => (call === rejected ? "rejects" : "works");
    hold(
      Effect.fnUntraced(function* (talk) {
        yield* tellAll(talk, ...told);
        expect(said(talk).at(-1)).toBe(heard);
      }),
      { provider },
    );
  });

  it("is refunded after all when a person asks again", () => {
    const provider = new ProviderFake();
    provider.line = (call, n) => (call === "refund" && n === 1 ? "rejects" : "works");
    hold(
      Effect.fnUntraced(function* (talk) {
        yield* tellAll(talk, authorize(), capture, refund, refund);
        expect(said(talk).slice(2)).toEqual(["refund-refused → capture-payment", "refunded → capture-payment"]);
      }),
      { provider },
    );
  });
});

describe("a void of money that came all the same", () => {
  it("is not answered as done while the provider keeps the money (G3), and gives it back when it is asked for again", () => {
    const provider = new ProviderFake();
    provider.line = (call, n) => (call === "refund" && n === 1 ? "rejects" : "works");
    hold(
      Effect.fnUntraced(function* (talk) {
        yield* tellAll(talk, authorize(), capture, voided, voided);
        expect(said(talk).slice(2)).toEqual(["refund-refused → authorize-payment", "voided → authorize-payment"]);
        expect(yield* state).toMatchObject({ status: "refunded", refunded: price.amount });
      }),
      { provider },
    );
  });
});

describe("a webhook", () => {
  it("about money that nobody awaits any more sends it back (G3)", () => {
    const provider = new ProviderFake();
    hold(
      Effect.fnUntraced(function* (talk) {
        yield* tellAll(talk, authorize(), voided);
        // The provider captured in spite of the cancel.
        provider.intents.set(orderId, { status: "captured", amount: price, captures: 1, refunds: 0 });
        provider.webhooks.push(eventOf(orderId, "payment.captured", price));
        yield* talk.wait(LONG);
        expect(provider.intents.get(orderId)).toMatchObject({ status: "refunded", refunds: 1 });
        expect(yield* state).toMatchObject({ status: "refunded", captured: 1_999, refunded: 1_999 });
        expect(said(talk).slice(0, 2)).toEqual(["authorized → authorize-payment", "voided → authorize-payment"]);
      }),
      { provider },
    );
  });

  it("is the same event for every delivery; another event under its id is refused, someone else's accepted", () => {
    const provider = new ProviderFake();
    const service = CheckoutService.layer(settings);
    const event = eventOf(orderId, "payment.captured", price);
    const verdicts = Conversation.hold(
      { service: Layer.empty, catalogue: M.catalogue },
      Effect.fnUntraced(function* () {
        return yield* Effect.provide(
          Effect.gen(function* () {
            return [
              yield* PaymentWebhook.receive(event),
              yield* PaymentWebhook.receive(event),
              yield* PaymentWebhook.receive({ ...event, type: "payment.refunded" }),
              yield* PaymentWebhook.receive({ ...event, data: { ...event.data, orderId: "not an order id" } }),
            ];
          }),
          service,
        );
      }),
    );
    expect(verdicts).toEqual(["Recorded", "Recorded", "Mismatch", "Foreign"]);
    expect(provider.calls).toEqual([]);
  });
});

describe("a process that dies", () => {
  it(
    "between the call and its commit probes when it is back, and captures exactly once",
    () => {
      for (let seed = 1; seed <= SEEDS; seed++) {
        const provider = new ProviderFake();
        const faults: Simulator.Faults = {
          crash: 0.03,
          delay: 0.05,
          delayMaxMillis: 100,
          downMaxMillis: 500,
          until: 1_767_225_600_000 + 30_000,
        };
        hold(
          Effect.fnUntraced(function* (talk) {
            yield* tellAll(talk, authorize());
            const [first] = said(talk);
            expect(["authorized → authorize-payment", "declined timeout → authorize-payment"]).toContain(first);
            if (first !== "authorized → authorize-payment") return;
            yield* tellAll(talk, capture);
            const ids = new Set(talk.heard().map(({ id }) => id));
            expect(ids.size).toBe(2);
            const captured = said(talk).at(-1) === "captured → capture-payment";
            expect(provider.intents.get(orderId)?.captures).toBe(captured ? 1 : 0);
            yield* tellAll(talk, captured ? refund : voided);
            expect(provider.intents.get(orderId)?.status).toBe(captured ? "refunded" : "canceled");
            expect(yield* state).toMatchObject({ captured: captured ? 1_999 : 0, refunded: captured ? 1_999 : 0 });
          }),
          { provider, faults, seed },
        );
      }
    },
    CRASHES_MS,
  );
});
