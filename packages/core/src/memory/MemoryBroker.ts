/**
 * A broker in memory: topics with partitions, and consumer groups with an offset per partition. A value that outlives the
 * processes on top of it, as a server outlives its clients.
 *
 * Invariants:
 * 1. A key lives in one partition of its topic; a partition keeps the order in which it was written.
 * 2. A partition has one owner per group. What it got is committed only while it still owns the partition: whoever lost it
 *    in between (a rebalance, a death) commits nothing, and the next owner starts at the committed offset.
 * 3. A group that is new begins at the oldest record that is still kept.
 *
 * It creates no topics by itself. It knows no fibers but those that wait for it, and no time.
 */
import { Effect } from "effect";
import type * as Message from "../domain/Message.ts";
import * as Shard from "../domain/Shard.ts";

/** Partitions of a topic, unless told otherwise: more than one, so that order across keys is not what tests rest on. */
export const PARTITIONS = 4;

/** Records of a partition kept after every group has committed them: what a group that comes late may still read. */
export const RETAINED_MAX = 10_000;

/** The newest messages of all topics that are kept for whoever looks on: a simulation publishes far fewer. */
export const PUBLISHED_MAX = 100_000;

/** Records dropped at a time: an array is not moved for each one. */
const TRIM_STEP = 1_000;

export class Partition {
  readonly topic: string;
  readonly index: number;
  /** Offset of the first record that is kept. */
  base = 0;
  readonly records: Array<Message.Encoded> = [];

  constructor(topic: string, index: number) {
    this.topic = topic;
    this.index = index;
  }

  /** The offset that the next record gets. */
  get end(): number {
    return this.base + this.records.length;
  }

  read(from: number, max: number): ReadonlyArray<Message.Encoded> {
    const start = Math.max(0, from - this.base);
    return this.records.slice(start, start + max);
  }
}

/** A consumer in a group. Compared by identity. */
export interface Member {
  readonly topics: ReadonlySet<string>;
}

/** A member's claim on a partition. A new one for each change of owner. */
export interface Claim {
  readonly member: Member;
}

class Group {
  readonly committed = new Map<Partition, number>();
  readonly claims = new Map<Partition, Claim>();
  /** In the order of their coming. */
  readonly members: Array<Member> = [];
}

export class Broker {
  /** Partitions of each topic. */
  readonly partitions: number;
  /** What was published, in order; the newest `PUBLISHED_MAX`. Nothing, unless it is to be kept. */
  readonly published: Array<Message.Encoded> = [];
  readonly #keepsPublished: boolean;
  readonly #topics = new Map<string, ReadonlyArray<Partition>>();
  readonly #groups = new Map<string, Group>();
  readonly #waiting = new Set<() => void>();

  constructor(partitions: number = PARTITIONS, keepsPublished = false) {
    this.partitions = partitions;
    this.#keepsPublished = keepsPublished;
  }

  /** Creates the topic, if it is new. */
  ensure(name: string): void {
    if (this.#topics.has(name)) return;
    const created = Array.from({ length: this.partitions }, (_, index) => new Partition(name, index));
    this.#topics.set(name, created);
    for (const group of this.#groups.values()) assign(group, created);
    this.#wake();
  }

  get topics(): ReadonlyArray<string> {
    return [...this.#topics.keys()].toSorted();
  }

  /** None, if there is no such topic. */
  partitionsOf(topic: string): ReadonlyArray<Partition> {
    return this.#topics.get(topic) ?? [];
  }

  /** Consumers see them together. What is of no topic is nowhere. */
  append(messages: ReadonlyArray<Message.Encoded>): void {
    for (const message of messages) {
      const partition = this.partitionsOf(message.topic)[Shard.of(message.key, this.partitions)];
      if (partition === undefined) continue;
      partition.records.push(message);
      if (this.#keepsPublished) this.#keep(message);
      this.#trim(partition);
    }
    this.#wake();
  }

  join(groupName: string, member: Member): void {
    const group = this.#group(groupName);
    group.members.push(member);
    this.#rebalance(group);
  }

  /** The member's partitions go to who is left. */
  leave(groupName: string, member: Member): void {
    const group = this.#group(groupName);
    const index = group.members.indexOf(member);
    if (index >= 0) group.members.splice(index, 1);
    this.#rebalance(group);
  }

  /** The member's claim on the partition, or undefined while it is another's. */
  claim(groupName: string, partition: Partition, member: Member): Claim | undefined {
    const claim = this.#group(groupName).claims.get(partition);
    return claim?.member === member ? claim : undefined;
  }

  /** The offset of the next record that the group is to get. */
  committed(groupName: string, partition: Partition): number {
    return Math.max(partition.base, this.#group(groupName).committed.get(partition) ?? 0);
  }

  /** Commits, if the claim still holds. */
  commit(groupName: string, partition: Partition, claim: Claim, offset: number): boolean {
    const group = this.#group(groupName);
    if (group.claims.get(partition) !== claim) return false;
    group.committed.set(partition, offset);
    this.#trim(partition);
    return true;
  }

  /** How many records the group has not committed yet, over all topics that its members ever read. */
  lag(groupName: string): number {
    const group = this.#group(groupName);
    let lag = 0;
    for (const partition of group.committed.keys()) lag += partition.end - this.committed(groupName, partition);
    return lag;
  }

  get groups(): ReadonlyArray<string> {
    return [...this.#groups.keys()].toSorted();
  }

  /** Waits until `condition` holds. It is looked at whenever something was written, or changed its owner. */
  until(condition: () => boolean): Effect.Effect<void> {
    return Effect.callback<void>((resume) => {
      const look = (): void => {
        if (!condition()) return;
        this.#waiting.delete(look);
        resume(Effect.void);
      };
      this.#waiting.add(look);
      look();
      return Effect.sync(() => void this.#waiting.delete(look));
    });
  }

  #wake(): void {
    for (const look of [...this.#waiting]) look();
  }

  #group(name: string): Group {
    const known = this.#groups.get(name);
    if (known !== undefined) return known;
    const created = new Group();
    this.#groups.set(name, created);
    return created;
  }

  #rebalance(group: Group): void {
    for (const partitions of this.#topics.values()) assign(group, partitions);
    this.#wake();
  }

  #keep(message: Message.Encoded): void {
    this.published.push(message);
    if (this.published.length >= PUBLISHED_MAX + TRIM_STEP) this.published.splice(0, TRIM_STEP);
  }

  /** Drops what every group has had for long. */
  #trim(partition: Partition): void {
    if (partition.records.length < RETAINED_MAX + TRIM_STEP) return;
    let needed = partition.end;
    for (const group of this.#groups.values()) needed = Math.min(needed, group.committed.get(partition) ?? needed);
    const dropped = Math.min(needed, partition.end - RETAINED_MAX) - partition.base;
    if (dropped < TRIM_STEP) return;
    partition.records.splice(0, dropped);
    partition.base += dropped;
  }
}

/** Spreads a topic's partitions over the members that read it. Who keeps a partition keeps its claim. */
const assign = (group: Group, partitions: ReadonlyArray<Partition>): void => {
  for (const partition of partitions) {
    const readers = group.members.filter((member) => member.topics.has(partition.topic));
    const owner = readers[partition.index % Math.max(1, readers.length)];
    if (owner === undefined) {
      group.claims.delete(partition);
      continue;
    }
    if (group.claims.get(partition)?.member !== owner) group.claims.set(partition, { member: owner });
    if (!group.committed.has(partition)) group.committed.set(partition, partition.base);
  }
};
