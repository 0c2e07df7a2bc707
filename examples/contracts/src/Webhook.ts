/**
 * Webhooks in Stripe's form: `Stripe-Signature: t=<seconds>,v1=<hex>` where v1 is HMAC-SHA256(secret, t + "." + raw body).
 *
 * While a secret rotates the sender signs with both (several v1), and the receiver may know several. Verification works on
 * the raw bytes, in constant time, and refuses by absolute age. It does not deduplicate: events come duplicated and
 * unordered, so the receiver admits each `id` once.
 */
import { createHmac, timingSafeEqual } from "node:crypto";
import { Redacted, Result, Schema } from "effect";

export const HEADER = "stripe-signature";

/** Seconds that a signature may be old, or ahead (clocks differ): Stripe's default. */
export const TOLERANCE_SECONDS = 300;

/** Signatures that are looked at in one header; more are not a rotation but an attack. */
export const SIGNATURES_MAX = 8;

export const EventType = Schema.Literals(["payment.captured", "payment.refunded"]);
export type EventType = typeof EventType.Type;

/** What the payment provider tells. */
export const Event = Schema.Struct({
  /** The same for every delivery of one event. */
  id: Schema.String.check(Schema.isMinLength(1), Schema.isMaxLength(400)),
  type: EventType,
  /** Seconds since 1970, as in Stripe's. */
  created: Schema.Int,
  data: Schema.Struct({
    reference: Schema.String,
    orderId: Schema.String,
    /** Minor units. */
    amount: Schema.Int,
    currency: Schema.String,
  }),
}).annotate({ identifier: "WebhookEvent" });
export type Event = typeof Event.Type;

export const decodeEvent = Schema.decodeUnknownEffect(Schema.fromJsonString(Event));
export const encodeEvent = Schema.encodeSync(Schema.fromJsonString(Event));

/** Why a delivery was refused. */
export type Refusal = "SignatureMissing" | "SignatureMalformed" | "SignatureTooOld" | "SignatureWrong";

/** The header's value for `body`, sent at `nowMillis`, signed with every secret. */
export const sign = (body: string, nowMillis: number, secrets: ReadonlyArray<Redacted.Redacted>): string => {
  const seconds = Math.floor(nowMillis / 1000);
  return [`t=${seconds}`, ...secrets.map((secret) => `v1=${digest(body, seconds, secret).toString("hex")}`)].join(",");
};

export interface Delivery {
  /** The value of `Stripe-Signature`. */
  readonly header: string | undefined;
  /** As received, not parsed and printed again. */
  readonly body: string;
  readonly nowMillis: number;
  readonly secrets: ReadonlyArray<Redacted.Redacted>;
  readonly toleranceSeconds?: number;
}

/** Whether one of the secrets signed this body within the tolerance. */
export const verify = ({
  header,
  body,
  nowMillis,
  secrets,
  toleranceSeconds = TOLERANCE_SECONDS,
}: Delivery): Result.Result<void, Refusal> => {
  if (header === undefined) return Result.fail("SignatureMissing");
  const parts = header.split(",").map((part) => part.trim());
  const seconds = parts.flatMap((part) => (/^t=\d{1,12}$/.test(part) ? [Number(part.slice(2))] : []));
  const signatures = parts.flatMap((part) => (/^v1=[0-9a-f]{64}$/.test(part) ? [Buffer.from(part.slice(3), "hex")] : []));
  const [at] = seconds;
  if (at === undefined || seconds.length > 1 || signatures.length === 0 || signatures.length > SIGNATURES_MAX) {
    return Result.fail("SignatureMalformed");
  }
  if (Math.abs(nowMillis / 1000 - at) > toleranceSeconds) return Result.fail("SignatureTooOld");
  let matches = 0;
  // Every pair is compared, so that time tells nothing about which one matched.
  for (const secret of secrets) {
    const expected = digest(body, at, secret);
    for (const signature of signatures) matches += timingSafeEqual(expected, signature) ? 1 : 0;
  }
  return matches > 0 ? Result.succeed(undefined) : Result.fail("SignatureWrong");
};

const digest = (body: string, seconds: number, secret: Redacted.Redacted): Buffer =>
  createHmac("sha256", Redacted.value(secret)).update(`${seconds}.`).update(body, "utf8").digest();
