/** Idempotent participants of a checkout, whose fate is written: what they are asked, they answer; what they did, they keep. */
import type { Message } from "@org/saga-core";
import { CheckoutMessages as M } from "@org/saga-core";
import { orderId } from "../Fixtures.ts";

export type Money = "none" | "authorized" | "declined" | "captured" | "refused" | "voided" | "refunded";
export type Stock = "none" | "held" | "committed" | "rejected" | "released" | "shipped";

export interface Fate {
  readonly balance: boolean;
  readonly stock: boolean;
  readonly authorize: "ok" | "declined" | "timeout";
  readonly commit: boolean;
  readonly capture: "ok" | "declined" | "timeout";
  readonly fulfill: boolean;
}

export const lucky: Fate = { balance: true, stock: true, authorize: "ok", commit: true, capture: "ok", fulfill: true };

export abstract class Participants {
  money: Money = "none";
  stock: Stock = "none";
  captures = 0;
  refunds = 0;
  fulfilled = false;
  readonly fate: Fate;

  constructor(fate: Fate) {
    this.fate = fate;
  }

  abstract send(draft: Message.Draft): void;

  private reply<B>(type: Message.MessageType<B>, body: NoInfer<B>, to: Message.Envelope): void {
    this.send(type.draft(body, { stepKey: to.stepKey ?? undefined, saga: to.saga ?? undefined }));
  }

  protected participate(envelope: Message.Envelope): void {
    this.inventory(envelope);
    this.payment(envelope);
    if (M.FulfillOrder.is(envelope)) {
      if (this.fate.fulfill) this.fulfilled = true;
      if (this.fate.fulfill) this.reply(M.FulfillmentSucceeded, { orderId }, envelope);
      else this.reply(M.FulfillmentFailed, { orderId, detail: "broken" }, envelope);
    }
  }

  private inventory(envelope: Message.Envelope): void {
    if (M.ReserveStock.is(envelope)) {
      if (this.stock === "none") this.stock = this.fate.stock ? "held" : "rejected";
      if (this.stock === "rejected" || this.stock === "released") this.reply(M.StockRejected, { orderId, skus: [] }, envelope);
      else this.reply(M.StockReserved, { orderId, until: 1 }, envelope);
    }
    if (M.CommitStock.is(envelope)) {
      if (this.stock === "held" && this.fate.commit) this.stock = "committed";
      if (this.stock === "committed" || this.stock === "shipped") this.reply(M.StockCommitted, { orderId }, envelope);
      else this.reply(M.StockHoldExpired, { orderId }, envelope);
    }
    if (M.ReleaseStock.is(envelope)) {
      if (this.stock === "shipped") return this.reply(M.StockReleaseRefused, { orderId }, envelope);
      this.stock = "released";
      this.reply(M.StockReleased, { orderId, reason: "asked" }, envelope);
    }
    if (M.ShipStock.is(envelope)) {
      if (this.stock === "committed") this.stock = "shipped";
      if (this.stock === "shipped") this.reply(M.StockShipped, { orderId }, envelope);
    }
  }

  private payment(envelope: Message.Envelope): void {
    if (M.CheckBalance.is(envelope)) this.reply(this.fate.balance ? M.BalanceSufficient : M.BalanceInsufficient, { orderId }, envelope);
    if (M.AuthorizePayment.is(envelope)) {
      if (this.money === "none") this.money = this.fate.authorize === "ok" ? "authorized" : "declined";
      if (this.money === "declined" || this.money === "voided")
        this.reply(M.PaymentDeclined, { orderId, reason: this.fate.authorize === "timeout" ? "timeout" : "declined" }, envelope);
      else this.reply(M.PaymentAuthorized, { orderId }, envelope);
    }
    if (M.CapturePayment.is(envelope)) {
      if (this.money === "authorized") {
        this.money = this.fate.capture === "ok" ? "captured" : "refused";
        if (this.money === "captured") this.captures += 1;
      }
      if (this.money === "captured" || this.money === "refunded") this.reply(M.PaymentCaptured, { orderId }, envelope);
      else this.reply(M.CaptureRefused, { orderId, reason: this.fate.capture === "timeout" ? "timeout" : "declined" }, envelope);
    }
    if (M.VoidPayment.is(envelope)) {
      if (this.money !== "captured" && this.money !== "refunded") this.money = "voided";
      this.reply(M.PaymentVoided, { orderId }, envelope);
    }
    if (M.RefundPayment.is(envelope)) {
      if (this.money === "captured") {
        this.money = "refunded";
        this.refunds += 1;
      }
      this.reply(M.PaymentRefunded, { orderId }, envelope);
    }
  }
}
