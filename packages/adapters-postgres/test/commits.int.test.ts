/**
 * Hundreds of batches whose COMMITs are cut at random: what each caller is told is what the database says. Requests have no
 * idempotency keys here, so that anything that happened twice would show.
 */
import { StoreError } from "@org/saga-core";
import { PgStores } from "@org/saga-postgres";
import { realServer } from "@tools/servers/testing";
import { Effect, Exit, ManagedRuntime } from "effect";
import pg from "pg";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import * as CommitCuts from "./CommitCuts.ts";
import * as Database from "./Database.ts";
import * as Guide from "./docs/ownTables.ts";
import * as OwnTables from "./OwnTables.ts";

const server = realServer("postgres");

const ACCOUNTS = 24;
const REQUESTS = 1_200;
/** Amounts tell requests apart. Thirteen is refused. */
const FIRST_AMOUNT = 100;
const TIMEOUT_MS = 120_000;

describe.runIf(server !== null)("under load, with COMMITs cut at random", () => {
  let database: Database.Database;
  let cuts: CommitCuts.CommitCuts;
  let runtime: ManagedRuntime.ManagedRuntime<OwnTables.Ports, unknown>;

  beforeAll(async () => {
    database = await Database.create(server ?? "");
    // The questions about lost COMMITs are cut as well.
    cuts = await CommitCuts.start(database.url, { seed: 20_261_121, rate: 0.4, letGoEveryMs: 15, also: "set fenced" });
    const options = { url: cuts.url, schema: OwnTables.SCHEMA, migrations: [OwnTables.MIGRATIONS] };
    runtime = ManagedRuntime.make(PgStores.layer({ ...options, poolSize: 8, settleTimeout: "60 seconds" }));
    await runtime.context();
    await Database.administer(database.url, OwnTables.THIRTEEN);
  });
  beforeEach(() => Database.administer(database.url, "delete from bank.postings; delete from bank.documents"));
  afterAll(async () => {
    await runtime.dispose();
    await cuts.stop();
    await database.drop();
  });

  const load = async <A>(effect: Effect.Effect<A, unknown, OwnTables.Ports>): Promise<{ readonly answer: A; readonly lost: number }> => {
    const before = cuts.lost();
    cuts.cutting(true);
    const answer = await runtime.runPromise(effect);
    cuts.cutting(false);
    return { answer, lost: cuts.lost() - before };
  };

  /** What the database says of each request: an account's posting of that amount. */
  const requests = Array.from({ length: REQUESTS }, (_, index) => ({
    account: `account-${index % ACCOUNTS}`,
    amount: FIRST_AMOUNT + index,
  }));

  const postings = async (): Promise<{
    readonly times: (request: { account: string; amount: number }) => number;
    readonly isBalanced: boolean;
  }> => {
    const client = new pg.Client({ connectionString: database.url });
    await client.connect();
    const { rows } = await client.query<{ account: string; amount: number }>("select account, amount from bank.postings");
    const { rows: unbalanced } = await client.query(
      `select from (select account, sum(amount) as sum from bank.postings group by account) p
       full join bank.documents d on d.id = p.account where p.sum is distinct from d.state::text::bigint`,
    );
    await client.end();
    return {
      times: ({ account, amount }) => rows.filter((row) => row.account === account && row.amount === amount).length,
      isBalanced: unbalanced.length === 0,
    };
  };

  it("a mailbox runs again what did not happen, and nothing else: each request happens once", { timeout: TIMEOUT_MS }, async () => {
    const { answer: exits, lost } = await load(
      Effect.scoped(
        Effect.gen(function* () {
          const box = yield* Guide.mailboxOf(Guide.byDrizzle);
          return yield* Effect.forEach(requests, ({ account, amount }) => Effect.exit(box.submit(Guide.post(account, amount))), {
            concurrency: 12,
          });
        }),
      ),
    );
    const answered = exits.map((exit) => Exit.isSuccess(exit));
    const { times, isBalanced } = await postings();
    const wrong = requests.filter((request, index) => times(request) !== (answered[index] === true ? 1 : 0));
    expect(wrong).toEqual([]);
    expect(answered.filter(Boolean)).toHaveLength(REQUESTS);
    expect(isBalanced).toBe(true);
    expect(lost).toBeGreaterThan(50);
  });

  it("a caller that is told Unavailable may believe it, and nobody is told Unknown", { timeout: TIMEOUT_MS }, async () => {
    const { answer: outcomes, lost } = await load(
      Effect.forEach(
        requests.slice(0, REQUESTS / 3),
        ({ account, amount }) =>
          Effect.map(Effect.exit(Guide.byDrizzle([Guide.post(`${account}-${amount}`, amount)])), (exit) => {
            if (Exit.isSuccess(exit)) return "happened";
            const reason = exit.cause.reasons[0];
            return reason?._tag === "Fail" && reason.error instanceof StoreError ? reason.error.reason : "defect";
          }),
        { concurrency: 6 },
      ),
    );
    const { times, isBalanced } = await postings();
    const told = requests.slice(0, REQUESTS / 3).map(({ account, amount }, index) => ({
      told: outcomes[index],
      times: times({ account: `${account}-${amount}`, amount }),
    }));
    expect(new Set(told.map((each) => JSON.stringify(each)))).toEqual(
      new Set(['{"told":"happened","times":1}', '{"told":"Unavailable","times":0}']),
    );
    expect(isBalanced).toBe(true);
    expect(lost).toBeGreaterThan(50);
  });
});
