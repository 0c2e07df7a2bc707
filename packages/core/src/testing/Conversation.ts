/**
 * A service under test, spoken to over its bus: memory stores, a memory broker, a virtual clock. The service runs as a
 * process of the simulator, so it may be crashed at every port call; the script plays everyone else.
 */
import { Context, Duration, Effect, Exit, Layer, References } from "effect";
import * as Message from "../domain/Message.ts";
import * as MessageId from "../flow/MessageId.ts";
import * as MemoryBus from "../memory/MemoryBus.ts";
import * as MemoryDatabase from "../memory/MemoryDatabase.ts";
import * as MemoryStock from "../memory/MemoryStock.ts";
import * as MemoryStores from "../memory/MemoryStores.ts";
import { MessageBus } from "../ports/MessageBus.ts";
import type { BusError } from "../ports/StoreError.ts";
import type { StockReservation } from "../ports/StockReservation.ts";
import * as Simulator from "./Simulator.ts";

/** What a service stands on. */
export type Ports = MemoryStores.Ports | MessageBus | StockReservation;

/** What outlives the service's process. */
export interface World {
  readonly database: MemoryDatabase.Database;
  readonly stock: MemoryStock.Stock;
}

export interface Talk {
  readonly world: World;
  /** Publishes, in this order; the messages, so that they can be repeated. */
  readonly tell: (...drafts: ReadonlyArray<Message.Draft>) => Effect.Effect<ReadonlyArray<Message.Encoded>, BusError>;
  /** Publishes the same messages once more: duplicates. */
  readonly repeat: (messages: ReadonlyArray<Message.Encoded>) => Effect.Effect<void, BusError>;
  /** What the service has published, in order. */
  readonly heard: () => ReadonlyArray<Message.Envelope>;
  /** Lets virtual time pass. */
  readonly wait: (millis: number) => Effect.Effect<void>;
}

export interface Options<E> {
  readonly service: Layer.Layer<never, E, Ports>;
  readonly catalogue: Message.Catalogue;
  readonly seed?: number;
  readonly faults?: Simulator.Faults;
}

/** Runs `script` against the service; what the script returns. */
export const hold = <A, E, F>(options: Options<E>, script: (talk: Talk) => Effect.Effect<A, F, Ports>): A => {
  const run = Simulator.run({ seed: options.seed ?? 1, limitMillis: LIMIT_MS }, quietly(Effect.scoped(converse(options, script))));
  if (Exit.isFailure(run.exit)) throw new Error(Simulator.explain(run.exit));
  return run.exit.value;
};

/** Virtual time of a conversation, at most: thirty days. */
const LIMIT_MS = 30 * 86_400_000;

/** What a service logs while it is crashed on purpose is of no interest. */
const quietly = Effect.provideService(References.MinimumLogLevel, "None");

const converse = Effect.fnUntraced(function* <A, E, F>(options: Options<E>, script: (talk: Talk) => Effect.Effect<A, F, Ports>) {
  const database = yield* MemoryDatabase.make;
  const bus = Context.get(yield* Layer.build(MemoryBus.layer), MessageBus);
  const stock = yield* MemoryStock.make;
  yield* bus.ensureTopics(options.catalogue.topics);
  const published: Array<Message.Encoded> = [];
  const overheard = Layer.succeed(MessageBus, {
    ...bus,
    publish: (messages) => Effect.tap(bus.publish(messages), () => Effect.sync(() => void published.push(...messages))),
  });
  const ports = Layer.mergeAll(MemoryStores.layerOf(database), overheard, MemoryStock.layerOf(stock));
  const service = Layer.provide(options.service, ports);
  // A service that cannot be built, or dies of a bug, ends the conversation.
  const process = Simulator.process("service", service, options.faults ?? Simulator.noFaults);
  const said = new Set<string>();

  const publish = (messages: ReadonlyArray<Message.Encoded>) =>
    Effect.suspend(() => {
      for (const { id } of messages) said.add(id);
      return Effect.asVoid(bus.publish(messages));
    });
  const talk: Talk = {
    world: { database, stock },
    tell: Effect.fnUntraced(function* (...drafts: ReadonlyArray<Message.Draft>) {
      const ids = yield* MessageId.next(drafts.length);
      const messages = drafts.map((draft, index) =>
        Message.stamp(draft, {
          id: ids[index] ?? "",
          occurredAt: 0,
          correlationId: draft.key,
          causationId: null,
          traceparent: null,
          tracestate: null,
        }),
      );
      yield* publish(messages);
      return messages;
    }),
    repeat: publish,
    heard: () =>
      published.flatMap((message) => {
        if (said.has(message.id)) return [];
        const read = Message.decode(options.catalogue, message);
        return read._tag === "Success" ? [read.success] : [];
      }),
    wait: (millis) => Effect.sleep(Duration.millis(millis)),
  };
  return yield* Effect.raceFirst(Effect.provide(script(talk), ports), process);
});
