/** The code of docs/guides/without-effect.md compiles, and does what it says. */
import { existsSync, readFileSync } from "node:fs";
import { SagaError } from "@org/saga-core/promise";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { accountsOf, book, connect, count, transfersOf, withdraw } from "./docs/withoutEffect.ts";

const GUIDES = new URL("../../../docs/guides/", import.meta.url);
const guide = readFileSync(new URL("without-effect.md", GUIDES), "utf8");
const source = readFileSync(new URL("docs/withoutEffect.ts", import.meta.url), "utf8");

const blocks = (text: string, pattern: RegExp): ReadonlyArray<string | undefined> => [...text.matchAll(pattern)].map(([, code]) => code);

/** PGlite takes seconds to make a new database, on a busy machine more. */
const START_MS = 60_000;
const WAIT = { timeout: 20_000, interval: 20 };

let client: Awaited<ReturnType<typeof connect>>;

beforeAll(async () => {
  client = await connect();
}, START_MS);

afterAll(() => client.close());

describe("the guide for services without Effect", () => {
  it("shows every part of withoutEffect.ts as it is, and no other code", () => {
    const regions = blocks(source, /^\/\/ #region \w+\n([\s\S]*?)^\/\/ #endregion$/gm);
    expect(regions).toHaveLength(7);
    expect(blocks(guide, /^```ts\n([\s\S]*?)^```$/gm)).toEqual(regions);
  });

  it("has no link that leads nowhere", () => {
    const targets = blocks(guide, /\]\(([^)#]+)\)/g);
    expect(targets.length).toBeGreaterThan(3);
    expect(targets.filter((target) => target === undefined || !existsSync(new URL(target, GUIDES)))).toEqual([]);
  });

  it("shows an account that answers, refuses, and repeats itself", async () => {
    const accounts = await accountsOf(client);
    await accounts.submit("ada", { _tag: "Deposit", cents: 500 });
    expect(await withdraw(accounts, "ada", 200, "k1")).toBe("300 left");
    expect(await withdraw(accounts, "ada", 200, "k1")).toBe("300 left");
    expect(await withdraw(accounts, "ada", 900, "k2")).toBe("tooLittle");
    expect(await withdraw(accounts, "ada", 100, "k1")).toBe("another request has this key");
    expect(await accounts.find("ada")).toEqual({ cents: 300 });
  });

  it("shows rows and messages in one transaction, a handler, and a saga that a message starts", async () => {
    const counted: Array<string> = [];
    const sent: Array<string> = [];
    await count(client, (account) => counted.push(account));
    const transfers = await transfersOf(client, async (account, cents, key) => void sent.push(`${account} ${cents} ${key}`));
    await book(client, "ada", 200);
    await vi.waitFor(() => expect(counted).toEqual(["ada"]), WAIT);
    await vi.waitFor(async () => expect((await transfers.find("ada"))?.status).toBe("completed"), WAIT);
    expect(sent).toEqual(["ada 200 ada:send:1"]);
  });

  it("rolls back the rows of a transaction whose statement failed, also when its failure was caught", async () => {
    await book(client, "bob", 1);
    const failed = client.transaction(async (tx) => {
      await tx.sql.query("insert into bank.bookings values ('bob', 2)");
      await tx.sql.query("insert into bank.nothing values (1)").catch(() => undefined);
    });
    await expect(failed).rejects.toBeInstanceOf(SagaError);
    const rows = await client.transaction((tx) => tx.sql.query("select cents from bank.bookings where account = 'bob'"));
    expect(rows).toEqual([{ cents: 1 }]);
  });
});
