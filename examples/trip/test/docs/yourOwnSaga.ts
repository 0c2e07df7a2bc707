/** The code of docs/guides/your-own-saga.md: renting a bicycle. */

// #region messages
import { Message, Saga, SagaDiagram } from "@org/saga-core";
import { memory, outcome, SagaClient, step } from "@org/saga-core/promise";
import { Schema } from "effect";

const Bike = Schema.Struct({ rental: Schema.String, bike: Schema.String });
const Price = Schema.Struct({ rental: Schema.String, cents: Schema.Int });
const Code = Schema.Struct({ rental: Schema.String, code: Schema.String });
const rentals = { topic: "rentals", key: ({ rental }: { readonly rental: string }) => rental };

const Reserve = Message.command("bike.reserve.v1", Bike, rentals);
const Reserved = Message.event("bike.reserved.v1", Bike, rentals);
const Gone = Message.event("bike.gone.v1", Bike, rentals);
const Free = Message.command("bike.free.v1", Bike, rentals);
const Freed = Message.event("bike.freed.v1", Bike, rentals);
const Pay = Message.command("rental.pay.v1", Price, rentals);
const Paid = Message.event("rental.paid.v1", Price, rentals);
const Declined = Message.event("rental.declined.v1", Price, rentals);
const Unlock = Message.command("bike.unlock.v1", Bike, rentals);
const Unlocked = Message.event("bike.unlocked.v1", Code, rentals);
// #endregion

// #region saga
const Data = Schema.Struct({ rental: Schema.String, bike: Schema.String, cents: Schema.Int, code: Schema.NullOr(Schema.String) });
type Data = typeof Data.Type;

const bike = ({ rental, bike }: Data) => ({ rental, bike });

export const Rental = Saga.make("rental", { version: 1, data: Data }).pipe(
  // Before the pivot: a step says how it is undone.
  Saga.step("reserve-bike", {
    send: Reserve,
    with: bike,
    done: Reserved,
    failed: [Saga.failedBy(Gone, () => "gone")],
    undo: { send: Free, with: bike, done: Freed },
    timeout: "5 seconds",
  }),
  // The point of no return.
  Saga.pivot("pay", {
    send: Pay,
    with: ({ rental, cents }) => ({ rental, cents }),
    done: Paid,
    failed: [Saga.failedBy(Declined, () => "declined")],
    undo: { none: "the step after it succeeds at some time" },
    timeout: "30 seconds",
  }),
  // After it: asked until it is done.
  Saga.retriable("unlock", { send: Unlock, with: bike, done: Unlocked, onDone: (data, { code }) => ({ ...data, code }) }),
);
// #endregion

// #region check
export const report = Saga.check(Rental); // throws the shortest way to what is wrong
export const diagram = SagaDiagram.states(Rental);
// #endregion

// #region steps
/** What was done, by step key. */
const done = new Map<string, string>();

/** A stand-in for a call to the outside: done once for a key, whatever it is asked. */
const once = async (key: string, what: string): Promise<string> => {
  const before = done.get(key);
  if (before !== undefined) return before;
  done.set(key, what);
  return what;
};

export const steps = [
  step(Reserve, async (body, key) => outcome((await once(key, body.bike)) === "stolen" ? Gone : Reserved, body)),
  step(Free, async (body) => outcome(Freed, body)),
  step(Pay, async (body) => outcome(body.cents > 10_000 ? Declined : Paid, body)),
  step(Unlock, async ({ rental }, key) => outcome(Unlocked, { rental, code: await once(key, "4711") })),
];
// #endregion

// #region run
export const rent = async (rental: string, bike: string, cents: number) => {
  const client = await SagaClient.connect({ database: memory(), messages: [] });
  try {
    const saga = await client.saga({ definition: Rental, steps });
    await saga.run(rental, { rental, bike, cents, code: null });
    return await saga.find(rental);
  } finally {
    await client.close();
  }
};
// #endregion
