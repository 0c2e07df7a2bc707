/** The code of docs/guides/checking-sagas.md runs, and what it prints is printed. Stale? `npm test -- packages/core/test/docs/CheckingSagas.test.ts -u`. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Result } from "effect";
import { expect, it } from "vitest";
import { Checkout, Saga, SagaCheck } from "@org/saga-core";
import { Ambiguous } from "../domain/saga/check/Trip.ts";

it("checkout always ends well", () => void Saga.check(Checkout.make()));

const path = fileURLToPath(new URL("../../../../docs/guides/checking-sagas.md", import.meta.url));
const page = readFileSync(path, "utf8");

it("shows code of this file", () => {
  const [, code = ""] = /^```ts\n([^]*?)^```$/m.exec(page) ?? [];
  const own = readFileSync(new URL(import.meta.url), "utf8");
  expect(code.trim().split("\n").length).toBeGreaterThan(2);
  // The imports are this file's, in part.
  expect(own).toContain(code.trim().split("\n").at(-1));
});

const fence = (text: string): string => `\`\`\`text\n${text.trimEnd()}\n\`\`\``;

const explored = Saga.explore(Ambiguous);
const failure = Result.isFailure(explored) ? explored.failure : null;
const [list = "", diagram = ""] = failure === null ? [] : SagaCheck.failureText(failure).split("\n\n");

const BLOCKS = new Map([
  ["report", fence(SagaCheck.reportText(Saga.check(Checkout.make())))],
  ["failure", `${fence(list)}\n\n\`\`\`mermaid\n${diagram}\`\`\``],
]);

it("shows what is printed", async () => {
  const fresh = page.replaceAll(/<!-- (report|failure) -->(?:[^]*?<!-- end -->)?/g, (_, name: string) => {
    return `<!-- ${name} -->\n\n${BLOCKS.get(name) ?? ""}\n\n<!-- end -->`;
  });
  await expect(fresh).toMatchFileSnapshot(path);
});
