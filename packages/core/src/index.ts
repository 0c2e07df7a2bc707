/**
 * `@org/saga-core`: decisions as pure values, ports as contracts, and the flow that joins them.
 *
 * Domain modules are namespaces (`Order.decide`); ports are services (`Outbox`); flow and memory modules are namespaces.
 */

// domain: pure
export * as Decider from "./domain/Decider.ts";
export * as Limits from "./domain/Limits.ts";
export * as Message from "./domain/Message.ts";
export * as Money from "./domain/Money.ts";
export * as StateMachine from "./domain/StateMachine.ts";
export { Timestamp } from "./domain/Timestamp.ts";
export * as Order from "./domain/order/Order.ts";
export { CustomerId, OrderId } from "./domain/order/OrderId.ts";
export * as OrderStatus from "./domain/order/OrderStatus.ts";
export { Quantity, Sku, StockLine } from "./domain/stock/Sku.ts";
export type { StockAccepted, StockBalance, StockCommand, StockRejection } from "./domain/stock/StockCommand.ts";
export * as StockLedger from "./domain/stock/StockLedger.ts";

// ports: contracts
export * from "./ports/DeadLetters.ts";
export * from "./ports/DocumentStore.ts";
export * from "./ports/IdempotencyKeys.ts";
export * from "./ports/Inbox.ts";
export * from "./ports/Lock.ts";
export * from "./ports/MessageBus.ts";
export * from "./ports/OrderStore.ts";
export * from "./ports/Outbox.ts";
export * from "./ports/SagaStore.ts";
export * from "./ports/StockReservation.ts";
export * from "./ports/StoreError.ts";
export * from "./ports/Timers.ts";
export * from "./ports/UnitOfWork.ts";
