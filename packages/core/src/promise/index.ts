/**
 * `@org/saga-core/promise`: deciders, sagas and the outbox for services without Effect. Start with `SagaClient.connect`.
 */
export * as Saga from "../domain/saga/Saga.ts";
export type { Definition } from "../domain/saga/Saga.ts";
export type { Status } from "../domain/saga/SagaDecider.ts";
export type { AnyType, Draft, MessageType } from "../domain/Message.ts";
export { type Bus, type Database, memory, type Stores } from "./Database.ts";
export { accept, type Answer, type DeciderOptions, type PlainDecider, reject, type SubmitOptions, type Verdict } from "./PlainDecider.ts";
export { type Handler, handler, type HandlerOptions, type Received } from "./PlainHandler.ts";
export { type Instance, outcome, type Outcome, type PlainSaga, type PlainStep, type SagaOptions, type Said, step } from "./PlainSaga.ts";
export * as SagaVersions from "./PlainVersions.ts";
export * as SagaClient from "./SagaClient.ts";
export { SagaError, type SagaErrorCode } from "./SagaError.ts";
export { command, event, type Parse, shape } from "./Shape.ts";
export type { ReplyTx, Tx } from "./Tx.ts";
