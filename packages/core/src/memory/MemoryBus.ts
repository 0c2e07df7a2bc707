/**
 * `MessageBus` in memory, with the semantics of a broker: topics with partitions, a key always in one partition, consumer
 * groups whose members share the partitions, offsets that move only after the handler succeeded.
 *
 * `make` gives a broker as a value that outlives the layers on top of it, as a real one outlives its clients. Publishing
 * only enqueues. It is deterministic, and it is not durable.
 */
import { Effect, Layer, Random } from "effect";
import type * as Message from "../domain/Message.ts";
import * as Shard from "../domain/Shard.ts";
import { type Delivery, MessageBus, type Subscription } from "../ports/MessageBus.ts";
import { BusError } from "../ports/StoreError.ts";
import * as FaultPoint from "./FaultPoint.ts";

/** Partitions of a topic: enough that order across keys is visibly not promised. */
export const PARTITIONS = 4;

export interface Options {
  readonly partitions?: number;
  /** How likely a handled batch is delivered once more, as after a lost acknowledgement. 0 to 1. */
  readonly duplicate?: number;
}

interface Partition {
  readonly topic: string;
  readonly number: number;
  readonly log: Array<Message.Encoded>;
}

/** A consumer that is alive. */
interface Member {
  readonly topics: ReadonlyArray<string>;
}

interface Group {
  readonly members: Array<Member>;
  /** Next offset by `<topic>/<partition>`. */
  readonly offsets: Map<string, number>;
}

export class Broker {
  readonly topics = new Map<string, ReadonlyArray<Partition>>();
  /** Everything ever published, in order. */
  readonly published: Array<Message.Encoded> = [];
  readonly groups = new Map<string, Group>();
  /** How often there may have been new work: a message, or a member that left. */
  changes = 0;
  /** Who rests until the next change. */
  readonly resting = new Set<() => void>();
  readonly partitions: number;
  readonly duplicate: number;

  constructor(options: Options) {
    this.partitions = options.partitions ?? PARTITIONS;
    this.duplicate = options.duplicate ?? 0;
  }

  ensure(topic: string): void {
    if (this.topics.has(topic)) return;
    this.topics.set(
      topic,
      Array.from({ length: this.partitions }, (_, number) => ({ topic, number, log: [] })),
    );
  }

  change(): void {
    this.changes += 1;
    const woken = [...this.resting];
    this.resting.clear();
    for (const wake of woken) wake();
  }

  group(name: string): Group {
    const group = this.groups.get(name) ?? { members: [], offsets: new Map<string, number>() };
    this.groups.set(name, group);
    return group;
  }
}

/** A broker without topics. */
export const make = (options: Options = {}): Effect.Effect<Broker> => Effect.sync(() => new Broker(options));

/** A process's connection to a broker that lives elsewhere. */
export const layerOf = (broker: Broker): Layer.Layer<MessageBus> => Layer.succeed(MessageBus, serviceOf(broker));

/** A broker of its own. */
export const layer: Layer.Layer<MessageBus> = Layer.effect(MessageBus, Effect.map(make(), serviceOf));

function serviceOf(broker: Broker): MessageBus["Service"] {
  return {
    publish: (messages) => FaultPoint.around("MessageBus.publish", publish(broker, messages)),
    consume: (subscription, handle) => consume(broker, subscription, handle),
    ensureTopics: (topics) =>
      Effect.sync(() => {
        for (const topic of topics) broker.ensure(topic);
      }),
  };
}

const publish = Effect.fnUntraced(function* (broker: Broker, messages: ReadonlyArray<Message.Encoded>) {
  for (const message of messages) {
    const partitions = broker.topics.get(message.topic);
    const partition = partitions?.[Shard.of(message.key, partitions.length)];
    if (partition === undefined) return yield* unavailable("MessageBus.publish", message.topic);
    partition.log.push(message);
    broker.published.push(message);
  }
  broker.change();
  return messages.map(() => "Published" as const);
});

const consume = <E, R>(
  broker: Broker,
  subscription: Subscription,
  handle: (batch: ReadonlyArray<Delivery>) => Effect.Effect<void, E, R>,
): Effect.Effect<never, BusError | E, R> =>
  Effect.acquireUseRelease(
    Effect.sync(() => join(broker, subscription)),
    (member) => Effect.forever(pass(broker, subscription, member, handle)),
    (member) => leave(broker, subscription, member),
  );

const join = (broker: Broker, { group, topics }: Subscription): Member => {
  const member: Member = { topics };
  broker.group(group).members.push(member);
  return member;
};

const leave = (broker: Broker, { group }: Subscription, member: Member): Effect.Effect<void> =>
  Effect.sync(() => {
    const { members } = broker.group(group);
    members.splice(members.indexOf(member), 1);
    broker.change();
  });

/** One batch: what this member owns and has not acknowledged. Rests until something changes if there is nothing. */
const pass = Effect.fnUntraced(function* <E, R>(
  broker: Broker,
  subscription: Subscription,
  member: Member,
  handle: (batch: ReadonlyArray<Delivery>) => Effect.Effect<void, E, R>,
): Effect.fn.Return<void, BusError | E, R> {
  const missing = subscription.topics.find((topic) => !broker.topics.has(topic));
  if (missing !== undefined) return yield* unavailable("MessageBus.consume", missing);
  const group = broker.group(subscription.group);
  const seen = broker.changes;
  const taken = take(broker, group, member, subscription.batchMax);
  if (taken.length === 0) return yield* nextChange(broker, seen);
  const batch = taken.flatMap(({ deliveries }) => deliveries);
  yield* FaultPoint.hit("MessageBus.consume.beforeHandle");
  yield* handle(batch);
  yield* FaultPoint.hit("MessageBus.consume.afterHandle");
  if (broker.duplicate > 0 && (yield* Random.next) < broker.duplicate) return;
  for (const { partition, next } of taken) {
    const name = nameOf(partition);
    // Another member may own it by now and be further: an acknowledgement never goes back.
    group.offsets.set(name, Math.max(next, group.offsets.get(name) ?? 0));
  }
});

/** Rests until something changed after `seen`. */
const nextChange = (broker: Broker, seen: number): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    const wake = (): void => resume(Effect.void);
    if (broker.changes !== seen) wake();
    else broker.resting.add(wake);
    return Effect.sync(() => void broker.resting.delete(wake));
  });

interface Taken {
  readonly partition: Partition;
  readonly deliveries: ReadonlyArray<Delivery>;
  readonly next: number;
}

const take = (broker: Broker, group: Group, member: Member, max: number): ReadonlyArray<Taken> => {
  const taken: Array<Taken> = [];
  let room = max;
  for (const partition of owned(broker, group, member)) {
    const offset = group.offsets.get(nameOf(partition)) ?? 0;
    const messages = partition.log.slice(offset, offset + room);
    if (messages.length === 0) continue;
    room -= messages.length;
    const deliveries = messages.map((message, index): Delivery => ({
      _tag: "Readable",
      position: `${nameOf(partition)}@${offset + index}`,
      message,
    }));
    taken.push({ partition, deliveries, next: offset + messages.length });
    if (room === 0) break;
  }
  return taken;
};

/** Every partition belongs to one living member that subscribed to its topic. */
const owned = (broker: Broker, group: Group, member: Member): ReadonlyArray<Partition> =>
  member.topics.flatMap((topic) => {
    const candidates = group.members.filter((each) => each.topics.includes(topic));
    const mine = candidates.indexOf(member);
    return (broker.topics.get(topic) ?? []).filter(({ number }) => number % candidates.length === mine);
  });

const nameOf = ({ topic, number }: Partition): string => `${topic}/${number}`;

const unavailable = (operation: string, topic: string): BusError =>
  new BusError({ reason: "Unavailable", operation, message: `there is no topic ${topic}: create it with ensureTopics` });
