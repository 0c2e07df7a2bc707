/** The contract suite of `MessageBus` can fail: it catches buses that break its promises. */
import { Effect, Exit, Layer, Logger } from "effect";
import { TestClock } from "effect/testing";
import { describe, expect, it } from "vitest";
import * as MemoryBus from "../../src/memory/MemoryBus.ts";
import { type Delivery, MessageBus } from "../../src/ports/MessageBus.ts";
import * as Contract from "../../src/testing/Contract.ts";
import * as MessageBusContract from "../../src/testing/contracts/MessageBusContract.ts";

type Bus = MessageBus["Service"];

/** A memory bus with one promise broken. */
interface Mutant {
  readonly name: string;
  readonly breaking: (intact: Bus) => Bus;
  /** Part of the name of a case that has to catch it. */
  readonly caughtBy: string;
}

const reversed = <A>(list: ReadonlyArray<A>): ReadonlyArray<A> => list.toReversed();

const mutants: ReadonlyArray<Mutant> = [
  {
    name: "a bus that acknowledges before the handler has succeeded",
    breaking: (intact) => ({
      ...intact,
      consume: (subscription, handle) => intact.consume(subscription, (batch) => Effect.ignore(handle(batch))),
    }),
    caughtBy: "comes again",
  },
  {
    name: "a bus that swallows defects",
    breaking: (intact) => ({
      ...intact,
      consume: (subscription, handle) => intact.consume(subscription, (batch) => Effect.catchDefect(handle(batch), () => Effect.void)),
    }),
    caughtBy: "dies of a defect",
  },
  {
    name: "a bus that turns batches around",
    breaking: (intact) => ({
      ...intact,
      consume: (subscription, handle) => intact.consume(subscription, (batch) => handle(reversed(batch))),
    }),
    caughtBy: "arrive in publish order",
  },
  {
    name: "a bus that ignores the size of batches",
    breaking: (intact) => ({ ...intact, consume: (subscription, handle) => intact.consume({ ...subscription, batchMax: 50 }, handle) }),
    caughtBy: "not larger than asked for",
  },
  {
    name: "a bus on which all groups are one",
    breaking: (intact) => ({ ...intact, consume: (subscription, handle) => intact.consume({ ...subscription, group: "one" }, handle) }),
    caughtBy: "groups are independent",
  },
  {
    name: "a bus on which every consumer is a group",
    breaking: (intact) => {
      let consumers = 0;
      return {
        ...intact,
        consume: (subscription, handle) => intact.consume({ ...subscription, group: `${subscription.group}-${(consumers += 1)}` }, handle),
      };
    },
    caughtBy: "what its group has acknowledged",
  },
  {
    name: "a bus that loses the last message of a list",
    breaking: (intact) => ({
      ...intact,
      publish: (messages) =>
        Effect.as(
          intact.publish(messages.slice(0, -1)),
          messages.map(() => "Published" as const),
        ),
    }),
    caughtBy: "field by field",
  },
  {
    name: "a bus that loses the trace",
    breaking: (intact) => ({
      ...intact,
      consume: (subscription, handle) =>
        intact.consume(subscription, (batch) =>
          handle(
            batch.map((delivery): Delivery =>
              delivery._tag === "Readable" ? { ...delivery, message: { ...delivery.message, traceparent: null } } : delivery,
            ),
          ),
        ),
    }),
    caughtBy: "field by field",
  },
  {
    name: "a bus that takes messages of any size",
    breaking: (intact) => ({
      ...intact,
      publish: (messages) => Effect.map(intact.publish(messages), (all) => all.map(() => "Published" as const)),
    }),
    caughtBy: "too large",
  },
];

const verdict = ({ breaking, caughtBy }: Mutant): Promise<Exit.Exit<void, unknown>> => {
  const example = MessageBusContract.cases.find(({ name }) => name.includes(caughtBy));
  if (example === undefined) throw new Error(`no case is named ${caughtBy}`);
  const broken = Layer.effect(MessageBus, Effect.map(MessageBus, breaking)).pipe(Layer.provide(MemoryBus.layer));
  return example.run.pipe(
    Effect.provideService(Contract.Wait, (millis) => TestClock.adjust(millis)),
    Effect.provide(Layer.mergeAll(broken, TestClock.layer(), Logger.layer([]))),
    Effect.runPromiseExit,
  );
};

describe("the contract of MessageBus catches", () => {
  for (const mutant of mutants) {
    it(mutant.name, async () => {
      const exit = await verdict(mutant);
      expect(Exit.isFailure(exit) && String(exit)).toContain("ContractViolation");
    });
  }
});
