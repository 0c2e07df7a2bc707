/** What every `Outbox` has to prove when publishing fails, or is done twice at once. */
import { Effect, Exit, Fiber } from "effect";
import { Outbox, OUTBOX_SHARDS } from "../../ports/Outbox.ts";
import { BusError } from "../../ports/StoreError.ts";
import type { UnitOfWork } from "../../ports/UnitOfWork.ts";
import * as Contract from "../Contract.ts";
import { append, drain, freshKey, ids, isPending, type Messages, publishAll, UNLIMITED } from "./OutboxFixture.ts";
import * as Samples from "./Samples.ts";

/** What a drain meets that goes wrong: `publish` never gives an answer. */
const comesAgainAfter = (ending: Effect.Effect<never, BusError>) =>
  Effect.gen(function* () {
    const key = yield* freshKey();
    const messages = yield* Samples.messages(key, 3);
    yield* append(messages);
    const exit = yield* Effect.exit((yield* Outbox).drain(Samples.shardOf(key), UNLIMITED, () => ending));
    yield* Contract.isTrue(Exit.isFailure(exit), "the drain should fail as its publish did");
    yield* Contract.isTrue(yield* isPending(key), "nothing was marked");
    yield* Contract.equal(ids(yield* drain(Samples.shardOf(key))), ids(messages), "handed over again");
  });

export const faults: ReadonlyArray<Contract.Case<UnitOfWork | Outbox>> = [
  Contract.check(
    "when publishing fails nothing is marked: the messages come again, in the same order",
    comesAgainAfter(Effect.fail(new BusError({ reason: "Unavailable", operation: "MessageBus.publish", message: "no broker" }))),
  ),
  Contract.check(
    "when publishing dies nothing is marked: the messages come again, in the same order",
    comesAgainAfter(Effect.die("a bug")),
  ),
  Contract.check(
    "when a drain is interrupted nothing is marked, and its shard is free again",
    Effect.gen(function* () {
      const key = yield* freshKey();
      const messages = yield* Samples.messages(key, 2);
      yield* append(messages);
      const publishing = yield* Contract.gate;
      const stuck = () => Effect.andThen(publishing.open, Effect.never);
      const fiber = yield* Effect.forkChild((yield* Outbox).drain(Samples.shardOf(key), UNLIMITED, stuck));
      yield* publishing.passed;
      yield* Fiber.interrupt(fiber);
      yield* Contract.equal(ids(yield* drain(Samples.shardOf(key))), ids(messages), "handed over again");
    }),
  ),
  Contract.check(
    "a failed drain keeps newer messages behind the older ones",
    Effect.gen(function* () {
      const key = yield* freshKey();
      const [older, newer] = [yield* Samples.messages(key, 2), yield* Samples.messages(key, 2)];
      yield* append(older);
      yield* Effect.exit((yield* Outbox).drain(Samples.shardOf(key), UNLIMITED, () => Effect.die("a bug")));
      yield* append(newer);
      yield* Contract.equal(ids(yield* drain(Samples.shardOf(key))), ids([...older, ...newer]), "handed over");
    }),
  ),
  Contract.check(
    "an answer with too few verdicts marks nothing and is refused with Misuse",
    Effect.gen(function* () {
      const key = yield* freshKey();
      const messages = yield* Samples.messages(key, 2);
      yield* append(messages);
      const short = (yield* Outbox).drain(Samples.shardOf(key), UNLIMITED, () => Effect.succeed(["Published"]));
      yield* Contract.failsWith(short, ["Misuse"], "a drain with one verdict for two messages");
      yield* Contract.equal(ids(yield* drain(Samples.shardOf(key))), ids(messages), "handed over again");
    }),
  ),
  Contract.checkWithTwoConnections(
    "a shard that is being drained is Busy for others, who are handed nothing; other shards are not",
    Effect.gen(function* () {
      const key = yield* freshKey();
      const outbox = yield* Outbox;
      yield* append(yield* Samples.messages(key, 1));
      const [publishing, finish] = [yield* Contract.gate, yield* Contract.gate];
      const slow = (batch: Messages) => Effect.andThen(publishing.open, Effect.andThen(finish.passed, publishAll(batch)));
      const owner = yield* Effect.forkChild(outbox.drain(Samples.shardOf(key), UNLIMITED, slow));
      yield* publishing.passed;
      const busy = yield* outbox.drain(Samples.shardOf(key), UNLIMITED, () => Effect.die("two owners of one shard"));
      yield* Contract.equal(busy, { _tag: "Busy" }, "the second drain");
      const elsewhere = yield* outbox.drain((Samples.shardOf(key) + 1) % OUTBOX_SHARDS, UNLIMITED, publishAll);
      yield* Contract.equal(elsewhere._tag, "Drained", "a drain of another shard");
      yield* finish.open;
      yield* Contract.equal(yield* Fiber.join(owner), { _tag: "Drained", published: 1, refused: 0, held: 0 }, "the owner's answer");
      yield* Contract.equal(yield* drain(Samples.shardOf(key)), [], "handed over again");
    }),
  ),
  Contract.checkWithTwoConnections(
    "messages are pending until the bus has answered",
    Effect.gen(function* () {
      const key = yield* freshKey();
      yield* append(yield* Samples.messages(key, 1));
      const [publishing, finish] = [yield* Contract.gate, yield* Contract.gate];
      const slow = (batch: Messages) => Effect.andThen(publishing.open, Effect.andThen(finish.passed, publishAll(batch)));
      const owner = yield* Effect.forkChild((yield* Outbox).drain(Samples.shardOf(key), UNLIMITED, slow));
      yield* publishing.passed;
      yield* Contract.isTrue(yield* isPending(key), "still pending while publishing");
      yield* finish.open;
      yield* Fiber.join(owner);
      yield* Contract.isTrue(!(yield* isPending(key)), "no longer pending after the answer");
    }),
  ),
];
