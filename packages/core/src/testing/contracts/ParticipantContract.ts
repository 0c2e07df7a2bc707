/**
 * What a `Participant` promises, on the stores of any adapter: its process dies at each of its gaps in turn (before a commit,
 * when all of it is written, when it is committed and nobody heard of it, before and after a call to the outside, before a
 * probe), another one goes on with what is stored, and whatever was to be done outside is done once.
 *
 * The other side deduplicates nothing. All deaths of a story happen side by side, each to a participant of its own: what was
 * called and has no outcome has to wait until it is sure (`settlesWithin`), some seconds.
 */
import { Deferred, Effect, Exit, Fiber, References, Schema } from "effect";
import * as Message from "../../domain/Message.ts";
import type { Ports as FlowPorts } from "../../flow/CommandHandler.ts";
import * as Participant from "../../flow/Participant.ts";
import * as TimerPump from "../../flow/TimerPump.ts";
import * as Worker from "../../flow/Worker.ts";
import type { DocumentStore } from "../../ports/DocumentStore.ts";
import { Timers } from "../../ports/Timers.ts";
import { UnitOfWork } from "../../ports/UnitOfWork.ts";
import * as Contract from "../Contract.ts";
import * as OutboxFixture from "./OutboxFixture.ts";
import * as Samples from "./Samples.ts";

export type Ports = FlowPorts | DocumentStore;

const LIMIT_MS = 1_000;
const SETTLES_WITHIN_MS = 500;
/** Few probes until a call is sure not to arrive any more: each is a place to die at. */
const RETRY_MS = { first: 1_000, max: 2_000 };
/** How long a timer that a dead process had claimed is hidden, in milliseconds. */
const LEASE_MS = 300;
/** How often a life looks whether it has done what it was to do, in milliseconds. */
const LOOK_MS = 50;
/** Milliseconds until a death counts as one that nobody recovers from: several times what the longest takes. */
const PATIENCE_MS = 50_000;

const Ref = Schema.Struct({ id: Schema.String });
const topic = { topic: "contract.payments", key: ({ id }: typeof Ref.Type) => id };
const Charge = Message.command("contract.charge.v1", Ref, topic);
const Charged = Message.event("contract.charged.v1", Ref, topic);
const Refund = Message.command("contract.refund.v1", Ref, topic);
const Refunded = Message.event("contract.refunded.v1", Ref, topic);

interface Story {
  /** Of the first call: it is answered, done without an answer, or never arrives. */
  readonly fate: "done" | "lost" | "away";
  readonly isUndone: boolean;
  /** More than there are. */
  readonly gapsMax: number;
}

type Gap = "commit.begin" | "commit.written" | "commit.done" | "call.begin" | "call.done" | "probe";
type Pass = (gap: Gap) => Effect.Effect<void>;

/** What is left of a process that dies once, at its `dies`-th gap, and of those that come after it. */
interface Lived {
  readonly id: string;
  /** `commit.written 2`: where it died; null, if it ended before. */
  readonly diedAt: string | null;
  /** Keys of what was done outside. */
  readonly made: ReadonlyArray<string>;
}

const stepKey = (id: string): string => `${id}:pay:1`;

const live = Effect.fnUntraced(function* (story: Story, dies: number) {
  const id = yield* Contract.unique("participant");
  const made: Array<string> = [];
  const gaps: Array<string> = [];
  let calls = 0;
  let diedAt: string | null = null;
  const messages = [yield* envelope(Charge, id), ...(story.isUndone ? [yield* envelope(Refund, id)] : [])];

  const life = Effect.gen(function* () {
    const died = yield* Deferred.make<void>();
    const pass: Pass = (gap) =>
      Effect.suspend(() => {
        if (diedAt === null) gaps.push(`${gap} ${1 + gaps.filter((each) => each.startsWith(gap)).length}`);
        if (diedAt !== null || gaps.length !== dies) return Effect.void;
        diedAt = gaps.at(-1) ?? null;
        return Effect.andThen(Deferred.done(died, Exit.void), Effect.interruptible(Effect.never));
      });
    const perform = Effect.fnUntraced(function* (key: string) {
      calls += 1;
      const fate = calls === 1 ? story.fate : "done";
      yield* pass("call.begin");
      if (fate === "away") return yield* Effect.fail(fate);
      made.push(key);
      yield* pass("call.done");
      if (fate === "lost") return yield* Effect.fail(fate);
    });
    const probe = (key: string) => Effect.map(pass("probe"), () => made.includes(key));
    const born = Effect.gen(function* () {
      const participant = yield* participantOf(id, perform, probe);
      yield* Effect.forkScoped(Worker.forever(id, TimerPump.pass(id, participant.onTimers, LEASE_MS)));
      for (const message of messages) {
        yield* deliver(participant, message);
        // An undo comes when its step was called, not before.
        while (calls === 0) yield* Effect.sleep(LOOK_MS);
      }
      const timers = yield* Timers;
      while ((yield* timers.list(id, id)).length > 0) yield* Effect.sleep(LOOK_MS);
      return true;
    });
    const dying = Effect.as(Deferred.await(died), false);
    return yield* Effect.raceFirst(Effect.provideService(Effect.scoped(born), UnitOfWork, mortal(yield* UnitOfWork, pass)), dying);
  });

  while (!(yield* life));
  const lived: Lived = { id, diedAt, made };
  return lived;
});

const mortal = (unit: UnitOfWork["Service"], pass: Pass): UnitOfWork["Service"] => ({
  commit: (body) =>
    pass("commit.begin").pipe(
      Effect.andThen(unit.commit(Effect.tap(body, () => pass("commit.written")))),
      Effect.tap(() => pass("commit.done")),
    ),
});

const participantOf = (
  name: string,
  perform: (key: string) => Effect.Effect<void, string>,
  probe: (key: string) => Effect.Effect<boolean>,
) => {
  const does = (type: Message.MessageType<typeof Ref.Type>) => ({
    perform: (body: typeof Ref.Type, key: string) => Effect.as(perform(key), Participant.done(type, body)),
    probe: (body: typeof Ref.Type, key: string) => Effect.map(probe(key), (found) => (found ? Participant.done(type, body) : null)),
  });
  const undo = { ...does(Refunded), type: Refund, nothing: (body: typeof Ref.Type) => Participant.done(Refunded, body) };
  return Participant.make({
    name,
    limit: LIMIT_MS,
    settlesWithin: SETTLES_WITHIN_MS,
    retry: RETRY_MS,
    calls: [Participant.call(Charge, { ...does(Charged), undo })],
  });
};

const envelope = Effect.fnUntraced(function* ({ type, topic: of }: Message.AnyType, id: string) {
  const message: Message.Envelope = {
    ...{ id: yield* Contract.uuid, type, topic: of, key: id, occurredAt: Samples.PAST, correlationId: id },
    ...{ causationId: null, traceparent: null, tracestate: null, stepKey: stepKey(id), saga: "contract@1", body: { id } },
  };
  return message;
});

/** Hands a message over until it is committed, as a broker does. */
const deliver = (participant: Participant.Participant, message: Message.Envelope): Effect.Effect<void> =>
  Effect.flatMap(participant.handle([message]), ([exit]) =>
    exit !== undefined && Exit.isSuccess(exit) ? Effect.void : Effect.andThen(Effect.sleep(LOOK_MS), deliver(participant, message)),
  );

/** Types of the messages about each, in their order, taken from the outbox. */
const answersTo = Effect.fnUntraced(function* (lives: ReadonlyArray<Lived>) {
  const handed = yield* Effect.forEach(new Set(lives.map(({ id }) => Samples.shardOf(id))), (shard) => OutboxFixture.drain(shard));
  return new Map(lives.map(({ id }) => [id, handed.flat().flatMap(({ key, type }) => (key === id ? [type] : []))]));
});

/** Every death of a story, side by side, and a few lives that come to their end before they could die: so there was no later gap. */
const everyDeath = Effect.fnUntraced(function* (story: Story) {
  const dies = Array.from({ length: story.gapsMax }, (_, index) => index + 1);
  const lives = yield* patiently(yield* Effect.forEach(dies, (n) => Effect.forkChild(live(story, n))));
  yield* Contract.isTrue(
    lives.some(({ diedAt }) => diedAt === null),
    `there are more than ${story.gapsMax} gaps`,
  );
  return lives;
});

/** Time is the case's to pass: nobody else may. */
const patiently = Effect.fnUntraced(function* <A, E>(fibers: ReadonlyArray<Fiber.Fiber<A, E>>) {
  for (let waited = 0; fibers.some((fiber) => fiber.pollUnsafe() === undefined); waited += LOOK_MS) {
    if (waited > PATIENCE_MS) return yield* Contract.fail("somebody's charge never came to an end");
    yield* Contract.wait(LOOK_MS);
  }
  return yield* Effect.forEach(fibers, Fiber.join);
});

const proves = Effect.fnUntraced(function* (story: Story, died: ReadonlyArray<string>) {
  // That a call gave no outcome is the story, not news.
  const lives = yield* Effect.provideService(everyDeath(story), References.MinimumLogLevel, "Error");
  const told = yield* answersTo(lives);
  for (const { id, diedAt, made } of lives) {
    const where = diedAt === null ? "alive" : `dead at ${diedAt}`;
    const answers = told.get(id) ?? [];
    const charges = made.filter((key) => !key.endsWith("/undo")).length;
    const refunds = made.length - charges;
    yield* Contract.isTrue(charges <= 1, `${where}: charged ${charges} times`);
    yield* Contract.equal(refunds, story.isUndone ? charges : 0, `${where}: refunds`);
    yield* Contract.equal(answers.at(-1), story.isUndone ? Refunded.type : Charged.type, `${where}: the last answer`);
    yield* Contract.equal(answers.length, new Set(answers).size, `${where}: answers, each once`);
    if (!story.isUndone) yield* Contract.equal(charges, 1, `${where}: charges`);
  }
  const at = new Set(lives.map(({ diedAt }) => diedAt));
  for (const gap of died) yield* Contract.isTrue(at.has(gap), `nobody died at ${gap}, but at ${[...at].join(", ")}`);
});

/** What is asked, that it is called, and what came of it: three commits. */
const COMMITS = [1, 2, 3].flatMap((n) => [`commit.begin ${n}`, `commit.written ${n}`, `commit.done ${n}`]);

export const cases: ReadonlyArray<Contract.Case<Ports>> = [
  Contract.checkWithTwoConnections(
    "a call is made once and answered once, wherever its process dies",
    proves({ fate: "done", isUndone: false, gapsMax: 20 }, [...COMMITS, "call.begin 1", "call.done 1"]),
  ),
  Contract.checkWithTwoConnections(
    "a call whose answer is lost is probed and answered once, wherever its process dies",
    proves({ fate: "lost", isUndone: false, gapsMax: 28 }, [...COMMITS, "call.begin 1", "call.done 1", "probe 1"]),
  ),
  Contract.checkWithTwoConnections(
    "a call that never arrived is made again when that is sure, wherever its process dies",
    proves({ fate: "away", isUndone: false, gapsMax: 64 }, [...COMMITS, "call.begin 1", "call.begin 2", "call.done 1", "probe 1"]),
  ),
  Contract.checkWithTwoConnections(
    "what was done is undone once, what was not is not, wherever its process dies",
    proves({ fate: "done", isUndone: true, gapsMax: 32 }, [...COMMITS, "call.begin 1", "call.done 1", "call.begin 2", "call.done 2"]),
  ),
];
