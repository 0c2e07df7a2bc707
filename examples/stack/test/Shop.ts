/** One shop on the real servers for all tests of a `describe`: up before the first, removed after the last; its logs stay if one failed. */
import { afterAll, afterEach, beforeAll } from "vitest";
import type { Addresses, RealStack } from "../src/RealStack.ts";
import { Books } from "./Books.ts";
import * as TestStack from "./TestStack.ts";

/** Generous: nothing waits for it but a failure. */
export const DEADLINE_MS = 120_000;

export interface Shop {
  readonly stack: RealStack;
  readonly books: Books;
}

/** `env`: for every service. */
export const suite = (servers: Addresses | null, env: Readonly<Record<string, string>>): (() => Shop) => {
  let shop: Shop;
  let remove = (_failed: boolean): Promise<void> => Promise.resolve();
  // Until it is up.
  let failed = true;

  beforeAll(async () => {
    if (servers === null) return;
    const own = await TestStack.make(servers, { env });
    remove = own.remove;
    await own.stack.provision();
    own.stack.start();
    await own.stack.ready();
    const books = new Books(own.stack);
    remove = async (lost) => {
      try {
        await books.close();
      } finally {
        await own.remove(lost);
      }
    };
    shop = { stack: own.stack, books };
    failed = false;
  }, DEADLINE_MS);

  afterEach(({ task }) => {
    failed ||= task.result?.state === "fail";
  });

  afterAll(() => remove(failed), DEADLINE_MS);

  return () => shop;
};
