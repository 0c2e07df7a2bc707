/** What every `Outbox` has to prove about messages that the bus refuses for good, and about those behind them. */
import { Effect, Fiber } from "effect";
import type * as Message from "../../domain/Message.ts";
import { type DrainVerdict, Outbox, type ParkedAction, type ParkedDecision } from "../../ports/Outbox.ts";
import type { UnitOfWork } from "../../ports/UnitOfWork.ts";
import * as Contract from "../Contract.ts";
import { append, drain, freshKey, ids, isPending, type Messages, publishAll, UNLIMITED } from "./OutboxFixture.ts";
import * as Samples from "./Samples.ts";

/** Drains the shard of `key`, answering with one verdict an id, else `Published`; what it was handed. */
const drainWith = Effect.fnUntraced(function* (key: string, verdicts: Readonly<Record<string, DrainVerdict>>) {
  const handed: Array<Message.Encoded> = [];
  const result = yield* (yield* Outbox).drain(Samples.shardOf(key), UNLIMITED, (batch) => {
    handed.push(...batch);
    return Effect.succeed(batch.map(({ id }) => verdicts[id] ?? "Published"));
  });
  return { handed: ids(handed), result };
});

const idOf = (messages: Messages, index: number): string => messages[index]?.id ?? "";

const parkedOf = Effect.fnUntraced(function* (key: string) {
  return (yield* (yield* Outbox).parked(UNLIMITED)).filter(({ message }) => message.key === key);
});

/** Five messages of a key, the first on the bus, the second refused, the third held, two appended later. */
const blockedKey = Effect.fnUntraced(function* () {
  const key = yield* freshKey();
  const messages = yield* Samples.messages(key, 5);
  yield* append(messages.slice(0, 3));
  const first = yield* drainWith(key, { [idOf(messages, 1)]: "Refused", [idOf(messages, 2)]: "Held" });
  yield* Contract.equal(first.result, { _tag: "Drained", published: 1, refused: 1, held: 1 }, "the drain's answer");
  yield* append(messages.slice(3));
  return { key, messages };
});

const decisionTo = (action: ParkedAction): ParkedDecision => ({ action, by: "ada", reason: "" });

const settled = Effect.fnUntraced(function* (messages: Messages, action: ParkedAction) {
  const chosen = yield* (yield* Outbox).settleParked(ids(messages), decisionTo(action));
  yield* Contract.equal(
    chosen.map(({ id }) => id),
    ids(messages),
    "what was settled",
  );
});

export const parking: ReadonlyArray<Contract.Case<UnitOfWork | Outbox>> = [
  Contract.check(
    "a refused message is parked, and never handed over again; nor are those of its topic and key, which are held behind it",
    Effect.gen(function* () {
      const outbox = yield* Outbox;
      const before = yield* outbox.backlog;
      const { key, messages } = yield* blockedKey();
      const later = yield* drainWith(key, {});
      yield* Contract.equal(later, { handed: [], result: { _tag: "Drained", published: 0, refused: 0, held: 2 } }, "a later drain");
      yield* Contract.isTrue(!(yield* isPending(key)), "what is held is not pending");
      const after = yield* outbox.backlog;
      yield* Contract.equal([after.parked - before.parked, after.held - before.held], [1, 3], "parked and held");
      // The shard may have had something of others before.
      yield* Contract.isTrue(after.pending <= before.pending, "nothing of it is pending");
      const parked = yield* parkedOf(key);
      yield* Contract.equal(
        parked.map(({ blocks, held, message }) => ({ blocks, held, id: message.id, type: message.type })),
        [{ blocks: true, held: 3, id: idOf(messages, 1), type: "contract.sample.v1" }],
        "the list",
      );
      yield* settled(messages.slice(1, 2), "Discard");
      yield* drainWith(key, {});
    }),
  ),
  Contract.check(
    "other keys of the shard, and the same key in another topic, go on",
    Effect.gen(function* () {
      const { key, messages } = yield* blockedKey();
      const neighbours = yield* Samples.messages(yield* Samples.neighbour(key), 2);
      const elsewhere = yield* Samples.message(key, 1, { topic: "contract.other" });
      yield* append([...neighbours, elsewhere]);
      yield* Contract.equal((yield* drainWith(key, {})).handed, ids([...neighbours, elsewhere]), "handed over");
      yield* settled(messages.slice(1, 2), "Discard");
      yield* drainWith(key, {});
    }),
  ),
  Contract.check(
    "a retried message comes again, and behind it what was held, in the order of appending",
    Effect.gen(function* () {
      const { key, messages } = yield* blockedKey();
      yield* drainWith(key, {});
      yield* settled(messages.slice(1, 2), "Retry");
      yield* Contract.isTrue(yield* isPending(key), "it is pending again");
      yield* Contract.equal(yield* parkedOf(key), [], "the list");
      yield* Contract.equal(ids(yield* drain(Samples.shardOf(key))), ids(messages.slice(1)), "handed over");
    }),
  ),
  Contract.check(
    "a retried message that is refused again is parked again, and what was behind it is held again",
    Effect.gen(function* () {
      const { key, messages } = yield* blockedKey();
      yield* settled(messages.slice(1, 2), "Retry");
      const verdicts = Object.fromEntries(ids(messages.slice(2)).map((id) => [id, "Held"] as const));
      yield* drainWith(key, { ...verdicts, [idOf(messages, 1)]: "Refused" });
      yield* Contract.equal(
        (yield* parkedOf(key)).map(({ held, message }) => [message.id, held]),
        [[idOf(messages, 1), 3]],
        "the list",
      );
      yield* settled(messages.slice(1, 2), "Discard");
      yield* drainWith(key, {});
    }),
  ),
  Contract.check(
    "a discarded message never comes again, and what was held behind it goes",
    Effect.gen(function* () {
      const { key, messages } = yield* blockedKey();
      yield* settled(messages.slice(1, 2), "Discard");
      yield* Contract.equal(ids(yield* drain(Samples.shardOf(key))), ids(messages.slice(2)), "handed over");
      yield* Contract.equal(yield* parkedOf(key), [], "the list");
    }),
  ),
  Contract.check(
    "a message that is set aside is parked alone: its key goes on",
    Effect.gen(function* () {
      const key = yield* freshKey();
      const messages = yield* Samples.messages(key, 4);
      yield* append(messages.slice(0, 3));
      const { result } = yield* drainWith(key, { [idOf(messages, 1)]: "SetAside" });
      yield* Contract.equal(result, { _tag: "Drained", published: 2, refused: 1, held: 0 }, "the drain's answer");
      yield* append(messages.slice(3));
      yield* Contract.equal(ids(yield* drain(Samples.shardOf(key))), ids(messages.slice(3)), "handed over");
      const parked = (yield* parkedOf(key)).map(({ blocks, held, message }) => ({ blocks, held, id: message.id }));
      yield* Contract.equal(parked, [{ blocks: false, held: 0, id: idOf(messages, 1) }], "the list");
      yield* settled(messages.slice(1, 2), "Retry");
      yield* Contract.equal(ids(yield* drain(Samples.shardOf(key))), ids(messages.slice(1, 2)), "handed over after all");
    }),
  ),
  Contract.check(
    "a decision about a message that is not parked changes nothing, also about the others that it names",
    Effect.gen(function* () {
      const { key, messages } = yield* blockedKey();
      const outbox = yield* Outbox;
      const before = yield* outbox.decisions(UNLIMITED);
      for (const action of ["Retry", "Discard"] as const) {
        const others = [idOf(messages, 0), idOf(messages, 2), yield* Contract.uuid, "not an id"];
        yield* Contract.equal(yield* outbox.settleParked(others, decisionTo(action)), [], "what was settled");
        const one = [idOf(messages, 1)];
        const parked = yield* outbox.settleParked([...one, "not an id"], decisionTo(action));
        const named = parked.map(({ id }) => id);
        yield* Contract.equal(named, one, "what is parked of those that were named, when not all are");
      }
      yield* Contract.equal((yield* parkedOf(key)).length, 1, "still parked");
      yield* Contract.equal(yield* outbox.decisions(UNLIMITED), before, "nothing was recorded");
      yield* settled(messages.slice(1, 2), "Retry");
      yield* Contract.equal(ids(yield* drain(Samples.shardOf(key))), ids(messages.slice(1)), "handed over");
    }),
  ),
  Contract.check(
    "a decision is recorded, with who, when, what and why; the newest comes first",
    Effect.gen(function* () {
      const { key, messages } = yield* blockedKey();
      const outbox = yield* Outbox;
      const id = idOf(messages, 1);
      const retry: ParkedDecision = { action: "Retry", by: "ada", reason: "the limit was raised\u0000" };
      const discard: ParkedDecision = { action: "Discard", by: "bob", reason: "" };
      yield* outbox.settleParked([id], retry);
      const verdicts = Object.fromEntries(ids(messages.slice(2)).map((held) => [held, "Held"] as const));
      yield* drainWith(key, { ...verdicts, [id]: "Refused" });
      yield* outbox.settleParked([id], discard);
      yield* drainWith(key, {});
      const [newest, older] = yield* outbox.decisions(2);
      const about = { id, type: "contract.sample.v1", topic: messages[1]?.topic, key };
      const { at: discardedAt = 0, ...discarded } = newest ?? {};
      const { at: retriedAt = 0, reason: retriedFor = "", ...retried } = older ?? {};
      yield* Contract.equal(discarded, { ...discard, message: about }, "the newest");
      yield* Contract.equal(retried, { action: "Retry", by: "ada", message: about }, "the one before");
      yield* Contract.isTrue(retriedFor.startsWith("the limit was raised"), "why");
      yield* Contract.isTrue(retriedAt > 0 && discardedAt >= retriedAt, "when");
    }),
  ),
  Contract.check(
    "a message that is Held behind none that was Refused is Misuse, and marks nothing",
    Effect.gen(function* () {
      const key = yield* freshKey();
      const messages = yield* Samples.messages(key, 2);
      yield* append(messages);
      const outbox = yield* Outbox;
      for (const verdicts of [
        ["Published", "Held"],
        ["Held", "Refused"],
        ["SetAside", "Held"],
      ] as const) {
        const wrong = outbox.drain(Samples.shardOf(key), UNLIMITED, () => Effect.succeed(verdicts));
        yield* Contract.failsWith(wrong, ["Misuse"], "a drain with such an answer");
      }
      yield* Contract.equal(ids(yield* drain(Samples.shardOf(key))), ids(messages), "handed over again");
    }),
  ),
  Contract.checkWithTwoConnections(
    "a decision waits for the drain of its shard, so that nothing is held behind a message that is gone",
    Effect.gen(function* () {
      const { key, messages } = yield* blockedKey();
      const outbox = yield* Outbox;
      yield* append(yield* Samples.messages(yield* Samples.neighbour(key), 1));
      const [publishing, finish] = [yield* Contract.gate, yield* Contract.gate];
      const slow = (batch: Messages) => Effect.andThen(publishing.open, Effect.andThen(finish.passed, publishAll(batch)));
      const owner = yield* Effect.forkChild(outbox.drain(Samples.shardOf(key), UNLIMITED, slow));
      yield* publishing.passed;
      const decision = yield* Effect.forkChild(Effect.exit(outbox.settleParked([idOf(messages, 1)], decisionTo("Discard"))));
      yield* Contract.settle;
      yield* finish.open;
      yield* Fiber.join(owner);
      const exit = yield* Fiber.join(decision);
      // A store that does not wait says Contention, and nothing has happened: then it is asked again.
      if (exit._tag === "Failure") yield* settled(messages.slice(1, 2), "Discard");
      yield* Contract.equal(ids(yield* drain(Samples.shardOf(key))), ids(messages.slice(2)), "handed over");
    }),
  ),
];
