/** The contract suites of core, run against the stores of this package. */
import {
  Contract,
  DeadLettersContract,
  DocumentStoreContract,
  IdempotencyKeysContract,
  InboxContract,
  InboxQueueContract,
  LockContract,
  OrderStoreContract,
  OutboxContract,
  ParticipantContract,
  SagaStoreContract,
  TimersContract,
  UnitOfWorkContract,
} from "@org/saga-core/testing";
import { type Message, Outbox } from "@org/saga-core";
import { Effect, Equal } from "effect";
import { describe, it } from "vitest";
import type { PgStores } from "../src/PgStores.ts";

const suites: ReadonlyArray<readonly [string, ReadonlyArray<Contract.Case<PgStores>>]> = [
  ["PgUnitOfWork", UnitOfWorkContract.cases],
  ["PgInbox", InboxContract.cases],
  ["PgInboxQueue", InboxQueueContract.cases],
  ["PgOutbox", OutboxContract.cases],
  ["PgDocumentStore", DocumentStoreContract.cases],
  ["PgSagaStore", SagaStoreContract.cases],
  ["PgOrderStore", OrderStoreContract.cases],
  ["PgTimers", TimersContract.cases],
  ["PgDeadLetters", DeadLettersContract.cases],
  ["PgIdempotencyKeys", IdempotencyKeysContract.cases],
  ["PgLock", LockContract.cases],
  ["Participant", ParticipantContract.cases],
];

/** Runs every case. A database with one connection leaves out those that need two. */
export const run = (connections: "one" | "many", execute: (example: Effect.Effect<void, unknown, PgStores>) => Promise<void>): void => {
  for (const [name, cases] of suites) {
    describe(name, () => {
      for (const example of cases) {
        it.skipIf(connections === "one" && example.needs === "twoConnections")(example.name, () =>
          execute(Effect.flatMap(Outbox, (outbox) => Effect.provideService(example.run, Outbox, sameMeaning(outbox)))),
        );
      }
    });
  }
};

/**
 * The outbox's `payload` is `jsonb`, as Debezium has it: it keeps what a JSON text means, not its blanks and the order of its
 * keys. So the suites get the text that was appended back, but only if what came out of the database means the same.
 */
const sameMeaning = (outbox: Outbox["Service"]): Outbox["Service"] => {
  const appended = new Map<string, string>();
  const restore = (message: Message.Encoded): Message.Encoded => {
    const text = appended.get(message.id);
    return text !== undefined && Equal.equals(JSON.parse(text), JSON.parse(message.payload)) ? { ...message, payload: text } : message;
  };
  return {
    ...outbox,
    append: (messages) => {
      for (const message of messages) appended.set(message.id, message.payload);
      return outbox.append(messages);
    },
    drain: (shard, max, publish) => outbox.drain(shard, max, (messages) => publish(messages.map(restore))),
  };
};
