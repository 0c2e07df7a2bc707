/**
 * `@org/saga-core/testing`: the proofs that ship with the library. Contract suites per port are data (`Contract.Case`), so
 * they run under any test runner, against any adapter.
 */
export * as Conversation from "./Conversation.ts";
export * as Contract from "./Contract.ts";
export * as InboxContract from "./contracts/InboxContract.ts";
export * as OutboxContract from "./contracts/OutboxContract.ts";
export * as UnitOfWorkContract from "./contracts/UnitOfWorkContract.ts";
export * as HotSku from "./contracts/HotSku.ts";
export * as StockBooksContract from "./contracts/StockBooksContract.ts";
export * as StockContention from "./contracts/StockContention.ts";
export * as StockLogContract from "./contracts/StockLogContract.ts";
export * as StockReservationContract from "./contracts/StockReservationContract.ts";
export * as Invariants from "./Invariants.ts";
export * as Simulator from "./Simulator.ts";
export * as DeadLettersContract from "./contracts/DeadLettersContract.ts";
export * as DocumentStoreContract from "./contracts/DocumentStoreContract.ts";
export * as IdempotencyKeysContract from "./contracts/IdempotencyKeysContract.ts";
export * as InboxQueueContract from "./contracts/InboxQueueContract.ts";
export * as LockContract from "./contracts/LockContract.ts";
export * as MessageBusContract from "./contracts/MessageBusContract.ts";
export * as OrderStoreContract from "./contracts/OrderStoreContract.ts";
export * as ParticipantContract from "./contracts/ParticipantContract.ts";
export * as SagaStoreContract from "./contracts/SagaStoreContract.ts";
export * as TimersContract from "./contracts/TimersContract.ts";
