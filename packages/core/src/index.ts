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
export * as Shard from "./domain/Shard.ts";
export * as StateMachine from "./domain/StateMachine.ts";
export { Timestamp } from "./domain/Timestamp.ts";
export * as Order from "./domain/order/Order.ts";
export { CustomerId, OrderId } from "./domain/order/OrderId.ts";
export * as OrderStatus from "./domain/order/OrderStatus.ts";
export { Quantity, Sku, StockLine } from "./domain/stock/Sku.ts";
export type {
  Adjust,
  AdjustKind,
  BuyerLimit,
  Reserve,
  Reserved,
  ReservePolicy,
  SplitPolicy,
  StockAccepted,
  StockBalance,
  StockCommand,
  StockRejection,
  StockUnits,
} from "./domain/stock/StockCommand.ts";
export * as StockDrift from "./domain/stock/StockDrift.ts";
export * as StockFold from "./domain/stock/StockFold.ts";
export * as StockJournal from "./domain/stock/StockJournal.ts";
export * as StockLedger from "./domain/stock/StockLedger.ts";
export { DEFAULT_WAREHOUSE, TakenLine, Warehouse } from "./domain/stock/Warehouse.ts";

export * as Checkout from "./domain/order/Checkout.ts";
export * as CheckoutMessages from "./domain/order/CheckoutMessages.ts";
export * as Choreography from "./domain/saga/choreography/Choreography.ts";
export * as ChoreographyReactions from "./domain/saga/choreography/Reactions.ts";
export * as Attempt from "./domain/saga/Attempt.ts";
export * as Coordinator from "./domain/saga/Coordinator.ts";
export * as Saga from "./domain/saga/Saga.ts";
export * as SagaCheck from "./domain/saga/check/SagaCheck.ts";
export * as SagaDecider from "./domain/saga/SagaDecider.ts";
export * as SagaDiagram from "./domain/saga/SagaDiagram.ts";
export * as SagaDifference from "./domain/saga/SagaDifference.ts";
export * as SagaInstance from "./domain/saga/SagaInstance.ts";
export * as SagaReplay from "./domain/saga/SagaReplay.ts";
export * as SagaVersions from "./domain/saga/SagaVersions.ts";

// ports: contracts
export * from "./ports/DeadLetters.ts";
export * from "./ports/DocumentStore.ts";
export * from "./ports/IdempotencyKeys.ts";
export * from "./ports/Inbox.ts";
export * from "./ports/InboxQueue.ts";
export * from "./ports/Lock.ts";
export * from "./ports/MessageBus.ts";
export * from "./ports/OrderStore.ts";
export * from "./ports/Outbox.ts";
export * from "./ports/SagaStore.ts";
export * from "./ports/StockAudit.ts";
export * from "./ports/StockBooks.ts";
export * from "./ports/StockLog.ts";
export * from "./ports/StockReservation.ts";
export * from "./ports/StoreError.ts";
export * from "./ports/Timers.ts";
export * from "./ports/UnitOfWork.ts";

// flow: decisions meet ports
export * as Aggregate from "./flow/Aggregate.ts";
export * as Batch from "./flow/Batch.ts";
export * as ChoreographyHome from "./flow/ChoreographyHome.ts";
export * as ChoreographyRunner from "./flow/ChoreographyRunner.ts";
export * as ChoreographyService from "./flow/ChoreographyService.ts";
export * as CommandHandler from "./flow/CommandHandler.ts";
export * as DirectSaga from "./flow/DirectSaga.ts";
export * as DocumentAggregate from "./flow/DocumentAggregate.ts";
export * as HoldSweeper from "./flow/HoldSweeper.ts";
export * as HybridStock from "./flow/HybridStock.ts";
export * as IdempotentRequest from "./flow/IdempotentRequest.ts";
export * as Lease from "./flow/Lease.ts";
export * as InboxPuller from "./flow/InboxPuller.ts";
export * as InboxWorker from "./flow/InboxWorker.ts";
export * as Mailbox from "./flow/Mailbox.ts";
export * as MessageConsumer from "./flow/MessageConsumer.ts";
export * as MessageId from "./flow/MessageId.ts";
export * as OutboxMonitor from "./flow/OutboxMonitor.ts";
export * as OutboxRelay from "./flow/OutboxRelay.ts";
export * as Participant from "./flow/Participant.ts";
export * as Responder from "./flow/Responder.ts";
export * as Retention from "./flow/Retention.ts";
export * as SagaStart from "./flow/SagaStart.ts";
export * as SagaRunner from "./flow/SagaRunner.ts";
export * as SoldOut from "./flow/SoldOut.ts";
export * as StoredConsumer from "./flow/StoredConsumer.ts";
export * as StockReconcile from "./flow/StockReconcile.ts";
export * as StockMailbox from "./flow/StockMailbox.ts";
export * as TimerPump from "./flow/TimerPump.ts";
export * as Worker from "./flow/Worker.ts";

// memory: reference adapters
export * as FaultPoint from "./memory/FaultPoint.ts";
export * as MemoryBus from "./memory/MemoryBus.ts";
export * as MemoryDatabase from "./memory/MemoryDatabase.ts";
export * as MemoryDeadLetters from "./memory/MemoryDeadLetters.ts";
export * as MemoryDocumentStore from "./memory/MemoryDocumentStore.ts";
export * as MemoryIdempotencyKeys from "./memory/MemoryIdempotencyKeys.ts";
export * as MemoryInbox from "./memory/MemoryInbox.ts";
export * as MemoryInboxQueue from "./memory/MemoryInboxQueue.ts";
export * as MemoryLock from "./memory/MemoryLock.ts";
export * as MemoryOrderStore from "./memory/MemoryOrderStore.ts";
export * as MemoryOutbox from "./memory/MemoryOutbox.ts";
export * as MemorySagaStore from "./memory/MemorySagaStore.ts";
export * as MemoryStock from "./memory/MemoryStock.ts";
export * as MemoryStockAudit from "./memory/MemoryStockAudit.ts";
export * as MemoryStockBooks from "./memory/MemoryStockBooks.ts";
export * as MemoryStockLog from "./memory/MemoryStockLog.ts";
export * as MemoryStores from "./memory/MemoryStores.ts";
export * as MemoryTimers from "./memory/MemoryTimers.ts";
export * as MemoryUnitOfWork from "./memory/MemoryUnitOfWork.ts";
