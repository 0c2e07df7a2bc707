/**
 * Runs one script of this workspace: `node scripts/run.mjs NAME [args]`. Plain JavaScript without dependencies, for Node 20 and newer.
 *
 *   1. tools/toolchain: npm installs pnpm, and a Node of its own where the system's is older than 24
 *   2. pnpm installs the workspace from its lock
 *   3. the script's steps run, each without a shell, so that signals and exit codes arrive
 *
 * Steps 1 and 2 are skipped while a stamp says that nothing changed. A stamp lies inside the node_modules it speaks of, is removed before
 * an install and written after it: a kill in the middle, a removed node_modules or a copied folder all lead to a new install.
 */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { constants } from "node:os";
import { basename, delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const TOOLCHAIN = join(ROOT, "tools", "toolchain");
const CACHE = join(ROOT, ".cache");

/** From this major on the system's Node is used as it is. */
const NODE_MAJOR_ENOUGH = 24;
/** How often a run looks whether another run's install has ended, and whether npm above it still lives. */
const POLL_MS = 250;
/** Longer than any install takes; then the lock is taken to be left over. */
const LOCK_WAIT_MAX_MS = 10 * 60_000;

const NODE_FLAGS = ["--conditions=@org/source", "--disable-warning=ExperimentalWarning", "--disable-warning=TimeoutNegativeWarning"];

const PUBLISHED = ["core", "adapters-postgres", "adapters-kafka", "adapters-redis", "cli"];

const [name = "", ...rest] = process.argv.slice(2);
const args = rest[0] === "--" ? rest.slice(1) : rest;

/** A failed step: what it printed is the message. */
class StepFailed extends Error {
  constructor(code) {
    super(`exit ${code}`);
    this.code = code;
  }
}

// ---------------------------------------------------------------------------------------------------------------- processes

let child;
let stopping;

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
  process.on(signal, () => {
    stopping ??= signal;
    child?.kill(signal);
  });
}

/** npm and sh may die of a signal without handing it on; then nobody would ever stop our child. */
if (process.env.npm_lifecycle_event !== undefined) {
  const parent = process.ppid;
  setInterval(() => {
    if (process.ppid === parent || stopping !== undefined) return;
    stopping = "SIGTERM";
    child?.kill("SIGTERM");
  }, POLL_MS).unref();
}

/**
 * Runs a program to its end, and fails with its exit code; also when a signal ended it, which no later step may follow. One that
 * `serves` is asked to end by a signal: whether that went well is for its own exit code to say.
 */
function exec(command, argv, options = {}) {
  const { quiet = false, serves = false, ...spawnOptions } = options;
  return new Promise((resolve, reject) => {
    const stdio = quiet ? ["ignore", "pipe", "pipe"] : "inherit";
    child = spawn(command, argv, { cwd: ROOT, env: childEnv(), windowsHide: true, ...spawnOptions, stdio });
    const output = [];
    child.stdout?.on("data", (chunk) => output.push(chunk));
    child.stderr?.on("data", (chunk) => output.push(chunk));
    child.once("error", reject);
    child.once("close", (code, signal) => {
      child = undefined;
      const exit = signal ? 128 + (constants.signals[signal] ?? 0) : (code ?? 1);
      if (exit !== 0 && quiet) process.stderr.write(Buffer.concat(output));
      if (exit !== 0) reject(new StepFailed(exit));
      else if (stopping && !serves) reject(new StepFailed(128 + constants.signals[stopping]));
      else resolve();
    });
    if (stopping) child.kill(stopping);
  });
}

/** The toolchain's Node comes first, so that everything a step starts finds it. Our own settings win over npm's environment. */
function childEnv() {
  const env = { ...process.env };
  const pathKey = Object.keys(env).find((key) => key.toUpperCase() === "PATH") ?? "PATH";
  env[pathKey] = [dirname(nodePath()), join(ROOT, "node_modules", ".bin"), env[pathKey]].filter(Boolean).join(delimiter);
  return env;
}

// ---------------------------------------------------------------------------------------------------------------- bootstrap

/** A step may run this script again with the toolchain's Node first on its PATH: that one is not the system's. */
const systemNodeIsEnough =
  Number(process.versions.node.split(".")[0]) >= NODE_MAJOR_ENOUGH && !process.execPath.startsWith(join(TOOLCHAIN, "node_modules"));

function nodePath() {
  if (systemNodeIsEnough) return process.execPath;
  const { optionalDependencies } = JSON.parse(readFileSync(join(TOOLCHAIN, "package.json"), "utf8"));
  const file = process.platform === "win32" ? "node.exe" : "node";
  const found = Object.keys(optionalDependencies)
    .filter((dependency) => dependency.endsWith(`${platformName()}-${process.arch}`))
    .map((dependency) => join(TOOLCHAIN, "node_modules", dependency, "bin", file))
    .find((path) => existsSync(path));
  return found ?? process.execPath;
}

function platformName() {
  return process.platform === "win32" ? "win" : process.platform;
}

/** npm as a script for this Node; the npm on the PATH where none is found. */
function npmCommand() {
  const bin = dirname(process.execPath);
  const candidates = [
    process.env.npm_execpath,
    join(bin, "..", "lib", "node_modules", "npm", "bin", "npm-cli.js"),
    join(bin, "node_modules", "npm", "bin", "npm-cli.js"),
  ];
  const script = candidates.find((path) => path && basename(path) === "npm-cli.js" && existsSync(path));
  if (script) return { command: process.execPath, prefix: [script], shell: false };
  return process.platform === "win32" ? { command: "npm.cmd", prefix: [], shell: true } : { command: "npm", prefix: [], shell: false };
}

const pnpmScript = () => join(TOOLCHAIN, "node_modules", "pnpm", "bin", "pnpm.cjs");

function hashOf(files, words) {
  const hash = createHash("sha256").update(JSON.stringify([ROOT, process.platform, process.arch, ...words]));
  for (const file of files) {
    hash.update(`\0${file}\0`);
    if (existsSync(join(ROOT, file))) hash.update(readFileSync(join(ROOT, file)));
  }
  return hash.digest("hex");
}

function manifests() {
  const inside = (folder) =>
    existsSync(join(ROOT, folder)) ? readdirSync(join(ROOT, folder)).map((entry) => `${folder}/${entry}/package.json`) : [];
  return [...inside("packages"), ...inside("examples"), "bench/package.json", "tools/servers/package.json"].sort();
}

/** Marks the stamp of a toolchain that has a Node of its own; it serves a system that needs none as well. */
const WITH_NODE = " with node";

const toolchainStamp = {
  file: join(TOOLCHAIN, "node_modules", ".bootstrap-stamp"),
  hash: () => hashOf(["tools/toolchain/package.json", "tools/toolchain/package-lock.json"], []) + (systemNodeIsEnough ? "" : WITH_NODE),
};
const workspaceStamp = {
  file: join(ROOT, "node_modules", ".bootstrap-stamp"),
  hash: () => hashOf(["package.json", "pnpm-lock.yaml", "pnpm-workspace.yaml", ...manifests()], []),
};

function isFresh(stamp) {
  if (!existsSync(stamp.file)) return false;
  const found = readFileSync(stamp.file, "utf8");
  return found === stamp.hash() || found === stamp.hash() + WITH_NODE;
}

async function stamped(stamp, install) {
  if (isFresh(stamp)) return;
  rmSync(stamp.file, { force: true });
  await install();
  mkdirSync(dirname(stamp.file), { recursive: true });
  writeFileSync(`${stamp.file}.new`, stamp.hash());
  renameSync(`${stamp.file}.new`, stamp.file);
}

async function bootstrap({ workspace = true } = {}) {
  const ready = () => isFresh(toolchainStamp) && (!workspace || isFresh(workspaceStamp));
  if (ready()) return;
  await locked(async () => {
    await stamped(toolchainStamp, async () => {
      console.error("Installing the toolchain (once) ...");
      const npm = npmCommand();
      const argv = ["ci", "--ignore-scripts", "--prefer-offline", "--no-audit", "--no-fund"];
      if (systemNodeIsEnough) argv.push("--omit=optional");
      await exec(npm.command, [...npm.prefix, ...argv], { cwd: TOOLCHAIN, env: process.env, shell: npm.shell, quiet: true });
    });
    if (!workspace) return;
    await stamped(workspaceStamp, async () => {
      console.error("Installing the workspace ...");
      const argv = ["install", "--frozen-lockfile", "--prefer-offline", "--prod=false", "--reporter=append-only"];
      await exec(nodePath(), [pnpmScript(), ...argv], { quiet: true }).catch((error) => {
        console.error("\nIf a package.json changed, bring the lock up to date: npm run pnpm -- install --no-frozen-lockfile");
        throw error;
      });
    });
  });
}

/** Two runs at once install once. A lock whose owner is gone does not count. */
async function locked(body) {
  const file = join(CACHE, "bootstrap.lock");
  mkdirSync(CACHE, { recursive: true });
  const deadline = Date.now() + LOCK_WAIT_MAX_MS;
  for (;;) {
    try {
      writeFileSync(file, String(process.pid), { flag: "wx" });
      break;
    } catch (error) {
      if (error.code !== "EEXIST") throw error;
    }
    if (!ownerLives(file) || Date.now() > deadline) rmSync(file, { force: true });
    else await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    if (stopping) throw new StepFailed(128 + constants.signals[stopping]);
  }
  try {
    return await body();
  } finally {
    rmSync(file, { force: true });
  }
}

function ownerLives(file) {
  try {
    const pid = Number(readFileSync(file, "utf8"));
    // Empty: its owner is between creating and writing it.
    return pid === 0 || (process.kill(pid, 0), pid !== process.pid);
  } catch (error) {
    return error.code === "EPERM";
  }
}

// -------------------------------------------------------------------------------------------------------------------- steps

/** Runs a program that an npm package brings, with our Node. */
function tool(packageName, binName, argv, options) {
  const manifestFile = join(ROOT, "node_modules", packageName, "package.json");
  const { bin } = JSON.parse(readFileSync(manifestFile, "utf8"));
  const script = typeof bin === "string" ? bin : bin[binName];
  return exec(nodePath(), [join(dirname(manifestFile), script), ...argv], options);
}

const source = (file) => (argv) => exec(nodePath(), [...NODE_FLAGS, file, ...argv], { serves: true });

const typecheck = (argv) => tool("typescript", "tsc", ["-b", ...argv]);
const lint = (argv) => tool("oxlint", "oxlint", ["--type-aware", "--deny-warnings", ...argv]);
const knip = (argv) => tool("knip", "knip", ["--no-config-hints", ...argv]);

/** Declarations with tsc, JavaScript with tsup: tsup's own declarations need the old compiler API. */
async function build() {
  for (const folder of PUBLISHED) rmSync(join(ROOT, "packages", folder, "dist"), { recursive: true, force: true });
  rmSync(join(CACHE, "build"), { recursive: true, force: true });
  await tool("typescript", "tsc", ["-b", "tsconfig.build.json"]);
  for (const folder of PUBLISHED) {
    const cwd = join(ROOT, "packages", folder);
    const entries = folder === "cli" ? ["src/index.ts", "src/bin.ts"] : entriesOf(cwd);
    await tool("tsup", "tsup", [...entries, "--config", join(ROOT, "tsup.config.ts"), "--silent"], { cwd });
  }
}

/** The source files that a package's exports name. */
function entriesOf(cwd) {
  const { exports } = JSON.parse(readFileSync(join(cwd, "package.json"), "utf8"));
  return Object.values(exports)
    .map((target) => target["@org/source"])
    .filter((file) => file?.endsWith(".ts"))
    .map((file) => file.replace("./", ""))
    .flatMap((file) => (file.includes("*") ? modulesIn(cwd) : [file]));
}

/** Every module of a package that exports all of them, so that declarations of its users can name their types. */
function modulesIn(cwd) {
  const found = readdirSync(join(cwd, "src"), { recursive: true }).map((file) => `src/${file.replaceAll("\\", "/")}`);
  return found.filter((file) => file.endsWith(".ts"));
}

/** The packed packages, as npm would serve them. */
async function packCheck() {
  const out = join(CACHE, "packs");
  rmSync(out, { recursive: true, force: true });
  mkdirSync(out, { recursive: true });
  for (const folder of PUBLISHED) {
    const cwd = join(ROOT, "packages", folder);
    await exec(nodePath(), [pnpmScript(), "pack", "--pack-destination", out], { cwd, quiet: true });
  }
  for (const file of readdirSync(out)) {
    await tool("publint", "publint", ["--strict", join(out, file)]);
    await tool("@arethetypeswrong/cli", "attw", ["--profile", "esm-only", "--format", "ascii", join(out, file)], { quiet: true });
    console.log(`attw: ${file}: ok`);
  }
}

/** Everything, with coverage; with arguments only what they name, without. The last line has the real counts. */
async function test(argv) {
  const report = join(CACHE, "vitest.json");
  rmSync(report, { force: true });
  mkdirSync(CACHE, { recursive: true });
  const scope = argv.length === 0 ? ["--coverage"] : argv;
  let exit = 0;
  try {
    await tool("vitest", "vitest", ["run", "--reporter=default", "--reporter=json", `--outputFile.json=${report}`, ...scope]);
  } catch (error) {
    if (!(error instanceof StepFailed)) throw error;
    exit = error.code;
  }
  const count = existsSync(report) ? countsOf(JSON.parse(readFileSync(report, "utf8"))) : { passed: 0, failed: 0, skipped: 0 };
  if (exit === 0 && (count.failed > 0 || count.passed === 0)) exit = 1;
  if (count.passed === 0 && count.failed === 0) console.error("No test ran.");
  console.log(`${count.passed} passed, ${count.failed} failed${count.skipped > 0 ? `, ${count.skipped} skipped` : ""}`);
  if (exit !== 0) throw new StepFailed(exit);
}

/** A file that fails before its first test counts as one failed test: vitest does not count it. */
function countsOf(report) {
  const broken = report.testResults.filter(
    (file) => file.status === "failed" && file.assertionResults.every((one) => one.status !== "failed"),
  );
  return {
    passed: report.numPassedTests,
    failed: report.numFailedTests + broken.length,
    skipped: report.numPendingTests + report.numTodoTests,
  };
}

async function check(argv) {
  await step("types", () => typecheck([]));
  await step("lint, import arrows", () => lint([]));
  await step("format", () => tool("oxfmt", "oxfmt", ["--check"]));
  await step("unused files, exports, dependencies", () => knip([]));
  await step("build", build);
  await step("packages", packCheck);
  await step("tests", () => test(argv));
}

async function step(title, body) {
  console.log(`\n== ${title}`);
  await body();
}

const SCRIPTS = {
  start: source("examples/stack/src/main.ts"),
  stack: source("examples/stack/src/stack.ts"),
  saga: source("packages/cli/src/bin.ts"),
  bench: source("bench/src/main.ts"),
  test,
  check,
  typecheck,
  lint,
  knip,
  format: (argv) => tool("oxfmt", "oxfmt", argv),
  "format:check": (argv) => tool("oxfmt", "oxfmt", ["--check", ...argv]),
  build,
  "pack:check": async () => {
    await build();
    await packCheck();
  },
  changeset: (argv) => tool("@changesets/cli", "changeset", argv),
  release: async (argv) => {
    await build();
    await packCheck();
    await tool("@changesets/cli", "changeset", ["publish", ...argv]);
  },
  /** Any file of the workspace, from its source. */
  node: (argv) => exec(nodePath(), [...NODE_FLAGS, ...argv]),
  pnpm: (argv) => exec(nodePath(), [pnpmScript(), ...argv]),
};

async function main() {
  const script = SCRIPTS[name];
  if (script === undefined) {
    console.error(`Usage: node scripts/run.mjs ${Object.keys(SCRIPTS).join(" | ")} [args]`);
    throw new StepFailed(2);
  }
  await bootstrap({ workspace: name !== "pnpm" });
  await script(args);
}

main().catch((error) => {
  if (!(error instanceof StepFailed)) console.error(error);
  process.exitCode = error instanceof StepFailed ? error.code : 1;
});
