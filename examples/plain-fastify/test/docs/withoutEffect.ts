/** The code of docs/guides/without-effect.md: an account that may not go below zero. */

// #region decider
import {
  accept,
  command,
  event,
  handler,
  outcome,
  type Parse,
  reject,
  Saga,
  SagaClient,
  SagaError,
  shape,
  step,
  type Verdict,
} from "@org/saga-core/promise";
import { PgDatabase } from "@org/saga-postgres";

interface Account {
  readonly cents: number;
}

type Command = { readonly _tag: "Deposit" | "Withdraw"; readonly cents: number };

/** Plain functions: no clock, no database, no promise. */
const decide = ({ cents }: Account, command: Command): Verdict<number, "tooLittle"> => {
  if (command._tag === "Deposit") return accept(command.cents);
  return cents < command.cents ? reject("tooLittle") : accept(-command.cents);
};
const evolve = ({ cents }: Account, change: number): Account => ({ cents: cents + change });
// #endregion

// #region messages
interface Moved {
  readonly account: string;
  readonly cents: number;
}

/** Any function that returns the value or throws: of one's own, or of a validation library. */
const moved: Parse<Moved> = (json) => {
  if (typeof json === "object" && json !== null && "account" in json && "cents" in json) {
    const { account, cents } = json;
    if (typeof account === "string" && typeof cents === "number") return { account, cents };
  }
  throw new Error("not a movement");
};

const topic = { topic: "accounts", key: ({ account }: Moved) => account };

export const Withdrawn = event("account.withdrawn.v1", moved, topic);
// #endregion

// #region connect
export const connect = () =>
  SagaClient.connect({
    // Or PgDatabase.server({ url, schema: "bank" }).
    database: PgDatabase.embedded({ schema: "bank" }),
    // Without a bus, messages stay in this process, and end with it; KafkaBus.layer({ brokers }) brings them to others.
    messages: [Withdrawn],
  });

type Client = Awaited<ReturnType<typeof connect>>;
// #endregion

// #region accounts
const number = (json: unknown): number => {
  if (typeof json === "number") return json;
  throw new Error("not a number");
};

export const accountsOf = (client: Client) =>
  client.decider({
    name: "account",
    initial: { cents: 0 },
    decide,
    evolve,
    // How what is stored is read back.
    state: (json) => ({ cents: number(typeof json === "object" && json !== null && "cents" in json ? json.cents : null) }),
    rejection: (json) => {
      if (json === "tooLittle") return json;
      throw new Error("not a rejection");
    },
  });

export const withdraw = async (accounts: Awaited<ReturnType<typeof accountsOf>>, id: string, cents: number, idempotencyKey: string) => {
  try {
    const answer = await accounts.submit(id, { _tag: "Withdraw", cents }, { idempotencyKey });
    switch (answer._tag) {
      case "Accepted":
        return `${answer.state.cents} left`; // `answer.repeated`: by an earlier request with this key
      case "Rejected":
        return answer.rejection;
      case "KeyReused":
      case "InFlight":
        return "another request has this key";
    }
  } catch (error) {
    if (error instanceof SagaError && error.isRetryable) return "try again"; // 503
    throw error;
  }
};
// #endregion

// #region transaction
export const book = async (client: Client, account: string, cents: number): Promise<void> => {
  await client.transaction(async (tx) => {
    await tx.sql.query("create table if not exists bank.bookings (account text not null, cents integer not null)");
    await tx.sql.query("insert into bank.bookings values ($1, $2)", [account, cents]);
    tx.send(Withdrawn, { account, cents });
  });
};
// #endregion

// #region handler
export const count = (client: Client, onCounted: (account: string) => void): Promise<void> =>
  client.on({
    group: "statements",
    handlers: [
      handler(Withdrawn, async ({ body }, tx) => {
        const rows = await tx.sql.query<{ n: number }>("select count(*)::int as n from bank.bookings where account = $1", [body.account]);
        if (rows[0]?.n === 1) onCounted(body.account);
      }),
    ],
  });
// #endregion

// #region saga
const Send = command("transfer.send.v1", moved, topic);
const Sent = event("transfer.sent.v1", moved, topic);

const Transfer = Saga.make("transfer", { version: 1, data: shape(moved) }).pipe(
  Saga.pivot("send", { send: Send, with: (data) => data, done: Sent, undo: { none: "nothing follows it" } }),
);

export const transfersOf = (client: Client, sendMoney: (account: string, cents: number, key: string) => Promise<void>) =>
  client.saga({
    definition: Transfer,
    startsOn: { message: Withdrawn, data: (body) => body },
    steps: [step(Send, async (body, key) => sendMoney(body.account, body.cents, key).then(() => outcome(Sent, body)))],
  });
// #endregion
