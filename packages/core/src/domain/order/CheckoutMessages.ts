/**
 * The messages of the checkout: commands to inventory, payment and fulfillment, and what they answer; and what the order
 * tells the world. Each is keyed by the order's id, and each service's messages in one direction share one topic, so that
 * the events of an order arrive in commit order (G5).
 */
import { Schema } from "effect";
import * as Message from "../Message.ts";
import { Money } from "../Money.ts";
import { ReturnReason } from "../stock/ReturnReason.ts";
import { Sku, StockLine } from "../stock/Sku.ts";
import { Timestamp } from "../Timestamp.ts";
import { OrderLine } from "./Order.ts";
import { CustomerId, OrderId } from "./OrderId.ts";
import { OrderStatus, Reason } from "./OrderStatus.ts";

const byOrder = (topic: string) => ({ topic, key: (body: { readonly orderId: OrderId }): string => body.orderId });

const OrderRef = Schema.Struct({ orderId: OrderId });

// order → world
const orderEvents = byOrder("order.events");
export const OrderCreated = Message.event(
  "order.created.v1",
  Schema.Struct({ orderId: OrderId, customerId: CustomerId, lines: Schema.Array(OrderLine), total: Money, at: Timestamp }),
  orderEvents,
);
export const OrderStatusChanged = Message.event(
  "order.status.changed.v1",
  Schema.Struct({ orderId: OrderId, from: OrderStatus, to: OrderStatus, reason: Schema.NullOr(Reason), at: Timestamp }),
  orderEvents,
);

// inventory
const inventoryCommands = byOrder("inventory.commands");
const inventoryEvents = byOrder("inventory.events");
export const ReserveStock = Message.command(
  "inventory.reserve.v1",
  Schema.Struct({ orderId: OrderId, lines: Schema.Array(StockLine), ttlMillis: Schema.Int }),
  inventoryCommands,
);
export const CommitStock = Message.command("inventory.commit.v1", OrderRef, inventoryCommands);
export const ReleaseStock = Message.command("inventory.release.v1", OrderRef, inventoryCommands);
export const ShipStock = Message.command("inventory.ship.v1", OrderRef, inventoryCommands);
export const StockReserved = Message.event("inventory.reserved.v1", Schema.Struct({ orderId: OrderId, until: Timestamp }), inventoryEvents);
export const StockRejected = Message.event(
  "inventory.rejected.v1",
  Schema.Struct({ orderId: OrderId, skus: Schema.Array(Sku) }),
  inventoryEvents,
);
export const StockCommitted = Message.event("inventory.committed.v1", OrderRef, inventoryEvents);
export const StockHoldExpired = Message.event("inventory.hold-expired.v1", OrderRef, inventoryEvents);
/** The goods are free again: the order gave them back, its time was over, or less was counted than was promised. */
export const StockReleased = Message.event(
  "inventory.released.v1",
  Schema.Struct({ orderId: OrderId, reason: ReturnReason }),
  inventoryEvents,
);
/** A release that cannot be: the goods have left. */
export const StockReleaseRefused = Message.event("inventory.release-refused.v1", OrderRef, inventoryEvents);
export const StockShipped = Message.event("inventory.shipped.v1", OrderRef, inventoryEvents);

// payment (the checkout service)
const paymentCommands = byOrder("payment.commands");
const paymentEvents = byOrder("payment.events");
const Payment = Schema.Struct({ orderId: OrderId, customerId: CustomerId, amount: Money, paymentMethod: Schema.String });
export const CheckBalance = Message.command("payment.check-balance.v1", Payment, paymentCommands);
export const AuthorizePayment = Message.command("payment.authorize.v1", Payment, paymentCommands);
export const CapturePayment = Message.command("payment.capture.v1", OrderRef, paymentCommands);
export const VoidPayment = Message.command("payment.void.v1", OrderRef, paymentCommands);
export const RefundPayment = Message.command("payment.refund.v1", OrderRef, paymentCommands);
export const BalanceSufficient = Message.event("payment.balance-sufficient.v1", OrderRef, paymentEvents);
export const BalanceInsufficient = Message.event("payment.balance-insufficient.v1", OrderRef, paymentEvents);
export const PaymentAuthorized = Message.event("payment.authorized.v1", OrderRef, paymentEvents);
/** `timeout`: settled at the deadline, by canceling at the provider. */
export const PaymentDeclined = Message.event(
  "payment.declined.v1",
  Schema.Struct({ orderId: OrderId, reason: Schema.Literals(["declined", "timeout"]) }),
  paymentEvents,
);
export const PaymentCaptured = Message.event("payment.captured.v1", OrderRef, paymentEvents);
export const CaptureRefused = Message.event(
  "payment.capture-refused.v1",
  Schema.Struct({ orderId: OrderId, reason: Schema.Literals(["declined", "timeout"]) }),
  paymentEvents,
);
export const PaymentVoided = Message.event("payment.voided.v1", OrderRef, paymentEvents);
export const PaymentRefunded = Message.event("payment.refunded.v1", OrderRef, paymentEvents);
/** An undo that the provider refuses for good: a person must look. */
export const RefundRefused = Message.event("payment.refund-refused.v1", OrderRef, paymentEvents);

// fulfillment
const fulfillmentEvents = byOrder("fulfillment.events");
export const FulfillOrder = Message.command(
  "fulfillment.fulfill.v1",
  Schema.Struct({ orderId: OrderId, lines: Schema.Array(StockLine) }),
  byOrder("fulfillment.commands"),
);
export const FulfillmentSucceeded = Message.event("fulfillment.succeeded.v1", OrderRef, fulfillmentEvents);
export const FulfillmentFailed = Message.event(
  "fulfillment.failed.v1",
  Schema.Struct({ orderId: OrderId, detail: Schema.String }),
  fulfillmentEvents,
);

/** Every message of the checkout: what topics are created from, and what consumers read by. */
export const catalogue = Message.catalogue([
  OrderCreated,
  OrderStatusChanged,
  ReserveStock,
  CommitStock,
  ReleaseStock,
  ShipStock,
  StockReserved,
  StockRejected,
  StockCommitted,
  StockHoldExpired,
  StockReleased,
  StockReleaseRefused,
  StockShipped,
  CheckBalance,
  AuthorizePayment,
  CapturePayment,
  VoidPayment,
  RefundPayment,
  BalanceSufficient,
  BalanceInsufficient,
  PaymentAuthorized,
  PaymentDeclined,
  PaymentCaptured,
  CaptureRefused,
  PaymentVoided,
  PaymentRefunded,
  RefundRefused,
  FulfillOrder,
  FulfillmentSucceeded,
  FulfillmentFailed,
]);
