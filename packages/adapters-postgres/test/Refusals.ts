/** What is refused before it is sent, on a server and on the embedded database alike. */
import { DocumentStore, IdempotencyKeys, Inbox, Outbox, type StoreError, UnitOfWork } from "@org/saga-core";
import { Effect, type ManagedRuntime } from "effect";
import { expect, it } from "vitest";
import * as PgClient from "../src/PgClient.ts";
import type * as PgDriver from "../src/PgDriver.ts";
import type * as PgStores from "../src/PgStores.ts";
import { document, message } from "./Samples.ts";

type Services = PgStores.PgStores | PgClient.PgClient;
type Runtime = ManagedRuntime.ManagedRuntime<Services, unknown>;

/** Half of a surrogate pair: JavaScript has such texts, and UTF-8 has not. */
const HALF = "a\ud800";
const OTHER_HALF = "a\ud801";

const commit = <A, E, R>(body: Effect.Effect<A, E, R>) => Effect.flatMap(UnitOfWork, (unit) => unit.commit(body));
const save = (id: string) => Effect.flatMap(DocumentStore, (store) => store.save([document(id, 1, {})]));
const append = (key: string) => Effect.flatMap(Outbox, (outbox) => outbox.append([message(key, {})]));
const stored = (...ids: ReadonlyArray<string>) => Effect.flatMap(DocumentStore, (store) => store.find("note", ids));

/** A statement of the user's, on the library's own handle. */
const send = (native: PgDriver.PgNative, text: string): Promise<unknown> =>
  native._tag === "Pool" ? native.client.query(text) : native.transaction.exec(text);

export const refusals = (runtimeOf: () => Runtime): void => {
  const failure = <A>(effect: Effect.Effect<A, StoreError, Services>): Promise<StoreError> => runtimeOf().runPromise(Effect.flip(effect));

  it.each<readonly [string, Effect.Effect<unknown, StoreError, Services>]>([
    ["a document's id", commit(save(HALF))],
    ["an id that is looked for", stored("well", HALF)],
    ["an inbox's message", commit(Effect.flatMap(Inbox, (inbox) => inbox.admit("c", ["well", OTHER_HALF])))],
    ["a message's key", commit(append(HALF))],
    [
      "an idempotency key",
      commit(Effect.flatMap(IdempotencyKeys, (keys) => keys.claim([{ scope: "ada", key: OTHER_HALF, fingerprint: "one" }]))),
    ],
    ["a value of one's own", Effect.flatMap(PgClient.PgClient, (client) => client.query("Test.own", "select $1::text", [HALF]))],
  ])("a text that is not Unicode is Refused, not taken for another one: %s", async (_, effect) => {
    const error = await failure(effect);
    expect(error).toMatchObject({ reason: "Refused", message: "a text is not Unicode: it has half of a surrogate pair" });
  });

  it("a whole surrogate pair is a text like any other", async () => {
    await runtimeOf().runPromise(commit(save("pair 😀")));
    expect([...(await runtimeOf().runPromise(stored("pair 😀"))).keys()]).toEqual(["pair 😀"]);
  });

  it.each(["commit", "rollback", "commit; begin", "/* a word */ Rollback and chain"])(
    "a statement on the native handle that ends the transaction is a Misuse, and nothing is stored: %s",
    async (statement) => {
      const before = await runtimeOf().runPromise(Effect.flatMap(Outbox, (outbox) => outbox.backlog));
      const native = Effect.flatMap(PgClient.PgClient, (client) => client.native);
      const inUse = Effect.flatMap(PgClient.PgClient, (client) => client.use("Test.use", (handle) => send(handle, statement)));
      const swallowed = Effect.flatMap(native, (handle) => Effect.exit(Effect.tryPromise(async () => send(handle, statement))));
      for (const own of [inUse, swallowed]) {
        const error = await failure(
          commit(Effect.andThen(save("before"), Effect.andThen(append("k"), Effect.andThen(own, save("after"))))),
        );
        expect(error).toMatchObject({ reason: "Misuse", message: expect.stringMatching(/^a statement is a (COMMIT|ROLLBACK)/) });
      }
      expect((await runtimeOf().runPromise(stored("before", "after"))).size).toBe(0);
      expect(await runtimeOf().runPromise(Effect.flatMap(Outbox, (outbox) => outbox.backlog))).toEqual(before);
    },
  );

  it("savepoints on the native handle are the user's", async () => {
    const partly = Effect.flatMap(PgClient.PgClient, (client) =>
      client.use("Test.savepoint", async (native) => {
        await send(native, "savepoint mine");
        await send(native, "select 1/0").catch(() => undefined);
        await send(native, "rollback to mine");
      }),
    );
    await runtimeOf().runPromise(commit(Effect.andThen(save("kept"), partly)));
    expect((await runtimeOf().runPromise(stored("kept"))).size).toBe(1);
  });
};
