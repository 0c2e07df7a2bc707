import { existsSync } from "node:fs";
import { defineConfig } from "vitest/config";

/**
 * Workspace packages run from their TypeScript source, in tests as in examples: nothing is built first. Node adds "import" or "require"
 * by itself; named here, "import" would also hold for `require`, which breaks CommonJS packages such as pg.
 */
const conditions = ["@org/source", "node"];

/** Starts the real servers once for all tests that need them. */
const SERVERS = "./tools/servers/src/vitest.ts";
const globalSetup = existsSync(new URL(SERVERS, import.meta.url)) ? [SERVERS] : [];

/** For a busy machine: PGlite alone takes seconds there. */
const UNIT_TIMEOUT_MS = 30_000;
const INT_TIMEOUT_MS = 60_000;
const E2E_TIMEOUT_MS = 180_000;

const tests = (suffix: string) => [`{packages,examples}/*/test/**/*${suffix}.ts`, `{bench,tools/servers}/test/**/*${suffix}.ts`];

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions, externalConditions: conditions } },
  test: {
    execArgv: ["--conditions=@org/source", "--disable-warning=ExperimentalWarning", "--disable-warning=TimeoutNegativeWarning"],
    pool: "forks",
    maxWorkers: 2,
    passWithNoTests: false,
    projects: [
      {
        extends: true,
        test: {
          name: "unit",
          include: tests(".test"),
          exclude: ["**/node_modules/**", ...tests(".int.test"), ...tests(".e2e.test")],
          testTimeout: UNIT_TIMEOUT_MS,
          hookTimeout: UNIT_TIMEOUT_MS,
        },
      },
      {
        extends: true,
        test: {
          name: "int",
          include: tests(".int.test"),
          globalSetup,
          testTimeout: INT_TIMEOUT_MS,
          hookTimeout: INT_TIMEOUT_MS,
          sequence: { groupOrder: 1 },
        },
      },
      {
        extends: true,
        // One stack at a time: each test starts several processes of its own.
        test: {
          name: "e2e",
          include: tests(".e2e.test"),
          globalSetup,
          testTimeout: E2E_TIMEOUT_MS,
          hookTimeout: E2E_TIMEOUT_MS,
          fileParallelism: false,
          sequence: { groupOrder: 2 },
        },
      },
    ],
    coverage: {
      provider: "v8",
      reportsDirectory: "coverage",
      reporter: ["text-summary", "json-summary", "html"],
      include: ["packages/*/src/**/*.ts", "examples/*/src/**/*.ts"],
      // These run only as processes of their own, where this coverage cannot see them.
      exclude: ["**/main.ts", "**/bin.ts", "**/*.main.ts", "examples/stack/src/stack.ts"],
      thresholds: { lines: 90, branches: 90 },
    },
  },
});
