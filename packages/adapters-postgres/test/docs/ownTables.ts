import { Effect, Result, Schema } from "effect";
import { Aggregate, CommandHandler, type Decider, DocumentAggregate, Mailbox } from "@org/saga-core";
import { PgClient, PgDrizzle } from "@org/saga-postgres";
import { integer, pgSchema, text } from "drizzle-orm/pg-core";

// #region aggregate
// An account whose balance never falls below zero. A pure decision: it knows no database.
type Post = { readonly _tag: "Post"; readonly amount: number };
type Posted = { readonly _tag: "Posted"; readonly amount: number };
const Overdrawn = Schema.TaggedStruct("Overdrawn", { balance: Schema.Int });

const account: Decider.Decider<number, Post, Posted, typeof Overdrawn.Type> = {
  initial: 0,
  decide: (balance, { amount }) =>
    balance + amount < 0 ? Result.fail({ _tag: "Overdrawn", balance }) : Result.succeed([{ _tag: "Posted", amount }]),
  evolve: (balance, { amount }) => balance + amount,
};

const accounts = DocumentAggregate.make({
  name: "account",
  decider: account,
  schema: Schema.Int,
  rejection: Overdrawn,
  fromMessage: (): Post | null => null,
  fromTimer: (): Post => ({ _tag: "Post", amount: 0 }),
  react: () => ({ drafts: [], timers: [] }),
});
// #endregion

// #region drizzle
// A table of your own, in the schema of your service; with a table prefix, the prefix belongs to its name.
const bank = pgSchema("bank");
export const postings = bank.table("postings", {
  account: text("account").notNull(),
  amount: integer("amount").notNull(),
  balance: integer("balance").notNull(),
});

export const byDrizzle = CommandHandler.runBatch(accounts, {
  project: (accepted) =>
    PgDrizzle.use("Postings.project", (db) =>
      db
        .insert(postings)
        .values(accepted.map(({ key, before, after }) => ({ account: key, amount: after.state - before.state, balance: after.state }))),
    ),
});
// #endregion

// #region plain
export const bySql = CommandHandler.runBatch(accounts, {
  project: (accepted) =>
    Effect.flatMap(PgClient.PgClient, (client) =>
      client.within(
        "Postings.project",
        `insert into ${client.tables}postings (account, amount, balance) select * from unnest($1::text[], $2::int[], $3::int[])`,
        [
          accepted.map(({ key }) => key),
          accepted.map(({ before, after }) => after.state - before.state),
          accepted.map(({ after }) => after.state),
        ],
      ),
    ),
});
// #endregion

// #region native
export const byNodePostgres = CommandHandler.runBatch(accounts, {
  project: (accepted) =>
    Effect.flatMap(PgClient.PgClient, (client) =>
      client.use("Postings.project", async (native) => {
        if (native._tag !== "Pool") throw new Error("this service runs on a server");
        const text = `insert into ${client.tables}postings values ($1, $2, $3)`;
        for (const { key, before, after } of accepted) {
          await native.client.query(text, [key, after.state - before.state, after.state]);
        }
      }),
    ),
});
// #endregion

// #region mailbox
export const post = (account: string, amount: number, key: string | null = null) =>
  Aggregate.request<(now: number) => Post>(account, () => ({ _tag: "Post", amount }), {
    idempotency: key === null ? null : { scope: account, key, fingerprint: String(amount) },
  });

export const mailboxOf = (run: typeof byDrizzle) => Mailbox.make({ name: "accounts", key: Aggregate.keyOf<(now: number) => Post>, run });
// #endregion

// #region alone
// A voucher's worth is in a table of yours: the decision has to ask the database.
export const vouchers = bank.table("vouchers", { code: text("code").primaryKey(), worth: integer("worth").notNull() });

type Redeem = { readonly code: string };

export const redeemAlone = CommandHandler.runAlone(accounts, (state, input: Aggregate.Input<Redeem>) =>
  Effect.gen(function* () {
    const nothing = { state, drafts: [], timers: [], answer: { _tag: "Ignored" as const } };
    if (input._tag !== "Request") return nothing;
    const client = yield* PgClient.PgClient;
    const { rows } = yield* client.within<{ readonly worth: number }>(
      "Vouchers.redeem",
      `delete from ${client.tables}vouchers where code = $1 returning worth`,
      [input.command.code],
    );
    const [voucher] = rows;
    if (voucher === undefined) return nothing;
    return { ...nothing, state: { ...state, state: state.state + voucher.worth }, answer: { _tag: "Accepted" as const } };
  }),
);

export const vouchersMailbox = Mailbox.make({ name: "vouchers", key: Aggregate.keyOf<Redeem>, batchMax: 1, run: redeemAlone });
// #endregion
