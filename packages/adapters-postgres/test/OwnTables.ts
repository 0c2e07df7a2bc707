/** Users' own tables in the transactions of the flow, on any driver: the code of docs/guides/own-tables.md. */
import { DocumentStore, type Mailbox, type StoreError, Transaction, UnitOfWork } from "@org/saga-core";
import { PgClient, PgDrizzle, type PgDriver, type PgStores } from "@org/saga-postgres";
import { eq, sql } from "drizzle-orm";
import { Effect, Exit, type Scope } from "effect";
import { beforeEach, describe, expect, it } from "vitest";
import * as Guide from "./docs/ownTables.ts";

export type Ports = PgStores.PgStores | PgClient.PgClient;
export type Execute = <A>(example: Effect.Effect<A, unknown, Ports | Scope.Scope>) => Promise<A>;

/** The schema that the guide's tables are in, and the user's own migrations, which make them. */
export const SCHEMA = "bank";
export const MIGRATIONS = new URL("./docs/migrations/", import.meta.url);

/** A rule of the user's. */
export const THIRTEEN = `alter table ${SCHEMA}.postings add constraint postings_thirteen check (amount <> 13)`;

const POOL_ONLY = { name: "node-postgres", run: Guide.byNodePostgres };

export const run = (kind: PgDriver.PgDriver["kind"], execute: Execute): void => {
  const ways = [
    { name: "drizzle", run: Guide.byDrizzle },
    { name: "plain SQL", run: Guide.bySql },
    ...(kind === "Pool" ? [POOL_ONLY] : []),
  ];

  beforeEach(() =>
    execute(
      Effect.flatMap(PgClient.PgClient, (client) =>
        Effect.forEach(
          [
            `delete from ${client.tables}postings`,
            `delete from ${client.tables}vouchers`,
            `delete from ${client.tables}documents`,
            `delete from ${client.tables}idempotency_keys`,
          ],
          (text) => client.query("Test.clear", text),
        ),
      ),
    ),
  );

  for (const way of ways) {
    describe(`a projection by ${way.name}`, () => {
      it("is committed with the batch, once for what is repeated, never for what is refused", () =>
        execute(
          Effect.gen(function* () {
            const box = yield* Guide.mailboxOf(way.run);
            const exits = yield* box.submitAll([
              Guide.post("ada", 5, "k"),
              Guide.post("ada", -9),
              Guide.post("bob", 2),
              Guide.post("ada", 5, "k"),
            ]);
            expect(exits.map((exit) => (Exit.isSuccess(exit) && exit.value._tag === "Answered" ? exit.value.answer._tag : "no"))).toEqual([
              "Accepted",
              "Rejected",
              "Accepted",
              "Accepted",
            ]);
            yield* box.submit(Guide.post("ada", 1));
            expect(yield* postings).toEqual(["ada 1 = 6", "ada 5 = 5", "bob 2 = 2"]);
            expect(yield* balances(["ada", "bob"])).toEqual({ ada: 6, bob: 2 });
          }),
        ));

      it("that breaks a rule of the user's table poisons its own item: neighbours are in both places, it is in none", () =>
        execute(
          Effect.gen(function* () {
            const box = yield* Guide.mailboxOf(way.run);
            const names = ["a", "b", "c", "d", "e", "f", "g"];
            const exits = yield* box.submitAll(names.map((name, index) => Guide.post(name, index === 4 ? 13 : index + 1)));
            expect(exits.map(Exit.isSuccess)).toEqual([true, true, true, true, false, true, true]);
            expect(failureOf(exits[4])).toMatchObject({
              _tag: "Poisoned",
              detail: "SQLSTATE 23514 check_violation (constraint postings_thirteen)",
            });
            expect(yield* postings).toEqual(["a 1 = 1", "b 2 = 2", "c 3 = 3", "d 4 = 4", "f 6 = 6", "g 7 = 7"]);
            expect(yield* balances(names)).toEqual({ a: 1, b: 2, c: 3, d: 4, f: 6, g: 7 });
          }),
        ));
    });
  }

  describe("a decision alone", () => {
    it("spends a voucher once, whoever redeems it first, and repeats its answer", () =>
      execute(
        Effect.gen(function* () {
          const box = yield* Guide.vouchersMailbox;
          yield* commit(PgDrizzle.use("Test.voucher", (db) => db.insert(Guide.vouchers).values({ code: "gift", worth: 20 })));
          const redeem = (name: string) => ({ ...Guide.post(name, 0, "redeem"), command: { code: "gift" } });
          const exits = yield* box.submitAll(["ada", "bob", "cleo"].map(redeem));
          const answers = exits.map((exit) => (Exit.isSuccess(exit) && exit.value._tag === "Answered" ? exit.value.answer._tag : "no"));
          expect(answers.toSorted()).toEqual(["Accepted", "Ignored", "Ignored"]);
          const winner = ["ada", "bob", "cleo"][answers.indexOf("Accepted")] ?? "";
          expect(yield* box.submit(redeem(winner))).toMatchObject({ answer: { _tag: "Accepted" }, repeated: true });
          expect(yield* balances(["ada", "bob", "cleo"])).toEqual({ [winner]: 20 });
          expect(yield* commit(PgDrizzle.use("Test.vouchers", (db) => db.select().from(Guide.vouchers)))).toEqual([]);
        }),
      ));
  });

  describe("statements of one's own", () => {
    const add = (account: string, amount: number) =>
      PgDrizzle.use("Test.add", (db) => db.insert(Guide.postings).values({ account, amount, balance: amount }));

    it("are rolled back with what fails beside them", () =>
      execute(
        Effect.gen(function* () {
          expect(yield* Effect.flip(commit(Effect.andThen(add("gone", 1), Effect.fail("no"))))).toBe("no");
          expect(yield* postings).toEqual([]);
        }),
      ));

    it("see what the transaction wrote, and may be a savepoint, whose failure can be left behind", () =>
      execute(
        Effect.gen(function* () {
          const seen = yield* commit(
            Effect.andThen(
              add("kept", 1),
              PgDrizzle.use("Test.savepoint", async (db) => {
                await expect(
                  db.transaction(async (inner) => {
                    await inner.insert(Guide.postings).values({ account: "left behind", amount: 2, balance: 2 });
                    await inner.insert(Guide.postings).values({ account: "left behind", amount: 13, balance: 13 });
                  }),
                ).rejects.toThrow();
                return db.select({ account: Guide.postings.account }).from(Guide.postings).where(eq(Guide.postings.amount, 1));
              }),
            ),
          );
          expect(seen).toEqual([{ account: "kept" }]);
          expect(yield* postings).toEqual(["kept 1 = 1"]);
        }),
      ));

    it("that fail doom the transaction, also when their failure is caught, on either side", () =>
      execute(
        Effect.gen(function* () {
          const caughtInside = PgDrizzle.use("Test.caught", async (db) => {
            await db.execute(sql`insert into bank.postings values ('thirteen', 13, 13)`).catch(() => undefined);
          });
          expect(yield* Effect.flip(commit(Effect.andThen(add("a", 1), caughtInside)))).toMatchObject({ reason: "Refused" });
          expect(yield* Effect.flip(commit(Effect.andThen(caughtInside, add("a", 1))))).toMatchObject({ reason: "Refused" });
          expect(yield* Effect.flip(commit(Effect.andThen(Effect.exit(add("a", 13)), Effect.void)))).toMatchObject({
            reason: "Refused",
            operation: "Test.add",
            message: "SQLSTATE 23514 check_violation (constraint postings_thirteen)",
          });
          expect(yield* postings).toEqual([]);
        }),
      ));

    it("that are a bug are a defect, with its own message", () =>
      execute(
        Effect.gen(function* () {
          const buggy = PgDrizzle.use("Test.bug", () => Promise.reject(new TypeError("undefined is not a customer")));
          const exit = yield* Effect.exit(commit(Effect.andThen(add("a", 1), buggy)));
          expect(String(Exit.isFailure(exit) && exit.cause)).toContain("undefined is not a customer");
          expect(yield* postings).toEqual([]);
        }),
      ));

    it("have no transaction any more after its end: neither the service nor a handle that was kept", () =>
      execute(
        Effect.gen(function* () {
          const client = yield* PgClient.PgClient;
          const kept = yield* commit(Effect.all({ native: client.native, transaction: Transaction }));
          const late: Effect.Effect<unknown, StoreError> = Effect.provideService(client.native, Transaction, kept.transaction);
          expect(yield* Effect.flip(late)).toMatchObject({ reason: "Misuse", message: "the transaction has ended" });
          const used = Effect.provideService(
            client.use("Test.late", () => Promise.resolve(1)),
            Transaction,
            kept.transaction,
          );
          expect(yield* Effect.flip(used)).toMatchObject({ reason: "Misuse", operation: "Test.late" });
          const insert = async () => PgDrizzle.of(kept.native).insert(Guide.postings).values({ account: "late", amount: 1, balance: 1 });
          yield* Effect.promise(() => expect(insert()).rejects.toThrow());
          expect(yield* postings).toEqual([]);
        }),
      ));
  });
};

const commit = <A, E, R>(body: Effect.Effect<A, E, R>) => Effect.flatMap(UnitOfWork, (unit) => unit.commit(body));

const postings = Effect.map(
  Effect.flatMap(PgClient.PgClient, (client) =>
    client.query<{ readonly line: string }>(
      "Test.postings",
      `select account || ' ' || amount || ' = ' || balance as line from ${SCHEMA}.postings order by account collate "C", amount`,
    ),
  ),
  ({ rows }) => rows.map(({ line }) => line),
);

const balances = (names: ReadonlyArray<string>) =>
  Effect.map(
    Effect.flatMap(DocumentStore, (store) => store.find("account", names)),
    (found) => Object.fromEntries([...found].map(([name, { state }]) => [name, state])),
  );

const failureOf = <A>(exit: Exit.Exit<A, Mailbox.Failure> | undefined): Mailbox.Failure | undefined => {
  const reason = exit !== undefined && Exit.isFailure(exit) ? exit.cause.reasons[0] : undefined;
  return reason?._tag === "Fail" ? reason.error : undefined;
};
