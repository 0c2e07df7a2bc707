/** The diagrams in the docs are those of the definitions. Stale? `npm test -- packages/core/test/docs/Diagrams.test.ts -u` draws them anew. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { Checkout, type Saga, SagaDiagram } from "@org/saga-core";
import { Shop } from "./sagas.ts";

const drawn = <D, C>(name: string, definition: Saga.Definition<D, C>): ReadonlyArray<readonly [string, string]> => [
  [`${name} states`, SagaDiagram.states(definition)],
  [`${name} sequence`, SagaDiagram.sequence(definition)],
];
const diagrams = new Map([...drawn("checkout", Checkout.make()), ...drawn("shop", Shop)]);

const BLOCK = /<!-- diagram: (?<name>[^>]*) -->[^]*?<!-- end -->/g;

it.each(["architecture.md", "guides/sagas.md"])("docs/%s shows what the definitions say", async (page) => {
  const path = fileURLToPath(new URL(`../../../../docs/${page}`, import.meta.url));
  const text = readFileSync(path, "utf8");
  expect(text).toMatch(BLOCK);
  const fresh = text.replaceAll(BLOCK, (_, name: string) => {
    const diagram = diagrams.get(name);
    if (diagram === undefined) throw new Error(`no diagram is called "${name}"`);
    return `<!-- diagram: ${name} -->\n\n\`\`\`mermaid\n${diagram}\`\`\`\n\n<!-- end -->`;
  });
  await expect(fresh).toMatchFileSnapshot(path);
});
