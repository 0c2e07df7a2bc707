/**
 * The compose files and the workflow that starts them, as data: valid by the specification's schema, and true to the repository.
 * That they start is shown by the workflow, which has a container engine.
 */
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { ServiceConfig } from "@example/contracts";
import { Ajv } from "ajv";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { SCHEMAS } from "../src/Provision.ts";

const ROOT = new URL("../../../", import.meta.url);
const read = (path: string): string => readFileSync(new URL(path, ROOT), "utf8");

interface Service {
  readonly build?: { readonly context: string; readonly dockerfile: string };
  readonly image?: string;
  readonly pull_policy?: string;
  readonly command?: ReadonlyArray<string>;
  readonly entrypoint?: ReadonlyArray<string>;
  readonly environment?: Readonly<Record<string, string | number>>;
  readonly ports?: ReadonlyArray<string>;
  readonly profiles?: ReadonlyArray<string>;
  readonly restart?: string;
  readonly healthcheck?: { readonly test: ReadonlyArray<string> };
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
  readonly container_name?: string;
}
interface Compose {
  readonly version?: string;
  readonly services: Readonly<Record<string, Service>>;
}

const load = (path: string): Compose => {
  const compose: Compose = parse(read(path), { merge: true });
  return compose;
};
const stack = load("deploy/docker-compose.yml");
const ports = load("deploy/docker-compose.ports.yml");
const services = Object.entries(stack.services);
const named = (name: string): Service => {
  const found = stack.services[name];
  if (found === undefined) throw new Error(`no service ${name} in the compose file`);
  return found;
};
/** Containers that run our own code. */
const ours = services.filter(([, service]) => service.image === named("migrate").image);
const isOneShot = ([name]: readonly [string, Service]): boolean =>
  services.some(([, other]) => other.depends_on?.[name]?.condition === "service_completed_successfully");

const require = createRequire(import.meta.url);
const schemaFile = new URL("schemas/compose.schema.json", pathToFileURL(require.resolve("dclint/package.json")));
/** The schema names its dialect by an address that no validator has, annotates with words of its own, and has formats of its own. */
const validate = new Ajv({ strict: false, validateSchema: false, validateFormats: false }).compile(
  JSON.parse(readFileSync(schemaFile, "utf8")),
);

describe("the compose file", () => {
  test.each(["deploy/docker-compose.yml", "deploy/docker-compose.ports.yml"])(
    "%s is valid by the compose specification's schema",
    (path) => {
      validate(load(path));
      expect(validate.errors ?? []).toEqual([]);
    },
  );

  test("would be refused by the schema if a key were misspelled", () => {
    expect(validate({ services: { order: { image: "x", helthcheck: {} } } })).toBe(false);
  });

  test("has a container for every service of the shop", () => {
    expect(services.map(([name]) => name)).toEqual(expect.arrayContaining(Object.keys(ServiceConfig.ports)));
  });

  test.each(ours)("starts %s from a file that exists", (_, service) => {
    const file = (service.command ?? service.entrypoint ?? []).find((argument) => argument.endsWith(".ts"));
    expect(file).toBeDefined();
    expect(existsSync(new URL(file ?? "", ROOT))).toBe(true);
  });

  test.each(services.filter(([name]) => name in ServiceConfig.ports))(
    "sets only variables for %s that services know, to values that they take",
    (_, service) => {
      const environment = Object.fromEntries(
        Object.entries(service.environment ?? {}).map(([name, value]) => [name, interpolated(`${value}`)]),
      );
      expect(Object.keys(ServiceConfig.variables)).toEqual(expect.arrayContaining(Object.keys(environment)));
      expect(ServiceConfig.parse(environment)).toMatchObject({ _tag: "Success" });
    },
  );

  test("gives the command line only variables that it knows", () => {
    const known = ["SAGA_PG_URL", "SAGA_PG_SCHEMA", "SAGA_KAFKA_BROKERS", "SAGA_TOPIC_PREFIX"];
    for (const name of ["migrate", "topics", "saga"])
      expect(known).toEqual(expect.arrayContaining(Object.keys(named(name).environment ?? {})));
  });

  test("migrates the schemas that the services use", () => {
    for (const name of ["migrate", "saga"]) expect(`${named(name).environment?.["SAGA_PG_SCHEMA"]}`.split(",")).toEqual([...SCHEMAS]);
  });

  test.each(Object.entries(ServiceConfig.ports))("asks %s on its own port whether it is ready", (name, { port }) => {
    expect(named(name).healthcheck?.test.join(" ")).toContain(`http://127.0.0.1:${port}/readyz`);
  });

  test("lets services find each other where they listen", () => {
    const { urls } = configOf(named("order"));
    const expected = { catalog: urls.catalog, "payment-provider": urls.provider, checkout: new URL(urls.webhook).origin };
    for (const [name, url] of Object.entries(expected)) {
      const port = Object.entries(ServiceConfig.ports).find(([service]) => service === name)?.[1].port;
      expect(url).toBe(`http://${name}:${port}`);
    }
  });

  test("has only the order service reachable from outside, on this machine alone", () => {
    const published = services.flatMap(([name, service]) => (service.ports ?? []).map((port) => [name, interpolated(port)]));
    expect(published).toEqual([["order", "127.0.0.1:3000:3000"]]);
  });

  test("opens the others on this machine alone, at the ports that they have, with the second file", () => {
    for (const [name, service] of Object.entries(ports.services)) {
      expect(stack.services).toHaveProperty(name);
      const own = Object.entries(ServiceConfig.ports).find(([one]) => one === name)?.[1].port;
      for (const port of service.ports ?? []) {
        expect(interpolated(port)).toMatch(/^127\.0\.0\.1:(\d+):\1$/);
        if (own !== undefined) expect(interpolated(port)).toBe(`127.0.0.1:${own}:${own}`);
      }
    }
  });

  test("scales: no container has a fixed name", () => {
    expect(services.filter(([, service]) => service.container_name !== undefined)).toEqual([]);
  });

  test("says no version: compose reads none any more", () => {
    expect(stack.version).toBeUndefined();
  });

  test("is up when `up --wait` says so: what ends is waited for by a service that stays, what stays has a health check", () => {
    const up = services.filter(([, service]) => service.profiles?.includes("tools") !== true);
    const oneShots = up.filter(isOneShot);
    expect(oneShots.map(([name]) => name)).toEqual(["migrate", "topics"]);
    for (const [, service] of oneShots) expect(service.restart).toBe("no");
    for (const [name, service] of up.filter((one) => !isOneShot(one))) {
      expect([name, service.healthcheck?.test[0]]).toEqual([name, "CMD"]);
      expect([name, service.restart]).toEqual([name, "unless-stopped"]);
    }
  });

  test("builds its image once, from a Dockerfile that exists, and never pulls it", () => {
    const built = services.filter(([, service]) => service.build !== undefined);
    expect(built.map(([name]) => name)).toEqual(["migrate"]);
    const { build } = named("migrate");
    expect(existsSync(new URL(build?.dockerfile ?? "", new URL(`deploy/${build?.context}/`, ROOT)))).toBe(true);
    for (const [name, service] of ours.filter(([one]) => one !== "migrate")) expect([name, service.pull_policy]).toEqual([name, "never"]);
  });

  test("keeps Redis from evicting held stock, and Kafka from inventing topics", () => {
    expect(named("redis").command?.join(" ")).toContain("--maxmemory-policy noeviction --appendonly yes");
    expect(named("kafka").environment?.["KAFKA_AUTO_CREATE_TOPICS_ENABLE"]).toBe("false");
  });
});

describe("the image", () => {
  const dockerfile = read("deploy/Dockerfile");

  test("runs services from source, as an unprivileged user", () => {
    expect(dockerfile).toContain("--conditions=@org/source");
    expect(dockerfile).toMatch(/^USER node$/m);
  });

  test("does not contain secrets or what is installed outside of it", () => {
    const ignored = read(".dockerignore").split("\n");
    expect(ignored).toEqual(expect.arrayContaining(["**/node_modules", "**/.env", "**/.env.*", ".git"]));
  });
});

describe("the workflow", () => {
  interface Step {
    readonly uses?: string;
    readonly run?: string;
    readonly if?: string;
  }
  const workflow: { readonly jobs: Readonly<Record<string, { readonly steps: ReadonlyArray<Step> }>> } = parse(
    read(".github/workflows/ci.yml"),
  );
  const steps = (job: string): ReadonlyArray<Step> => workflow.jobs[job]?.steps ?? [];

  test("uses actions by the hash of a commit, which nobody can move", () => {
    const used = Object.keys(workflow.jobs).flatMap((job) => steps(job).flatMap((step) => step.uses ?? []));
    expect(used.length).toBeGreaterThan(0);
    for (const action of used) expect(action).toMatch(/^[\w-]+\/[\w-]+@[0-9a-f]{40}$/);
  });

  test("runs the whole bar, and what any machine runs", () => {
    expect(steps("check").at(-1)?.run).toBe("npm run check");
    expect(steps("ci").at(-1)?.run).toBe(".ci/run");
    expect(existsSync(new URL(".ci/run", ROOT))).toBe(true);
  });

  test("starts the compose file, runs the flows through it, and always takes it down", () => {
    const runs = steps("compose").flatMap((step) => step.run ?? []);
    expect(runs[0]).toMatch(/^docker compose -f deploy\/docker-compose\.yml up --wait .*--build$/);
    expect(runs[1]).toBe("npm run stack -- --flows http://127.0.0.1:3000");
    const last = steps("compose").at(-1);
    expect([last?.if, last?.run]).toEqual(["always()", "docker compose -f deploy/docker-compose.yml down --volumes"]);
  });
});

/** `${NAME:-default}` without the variable set. */
const interpolated = (text: string): string => text.replaceAll(/\$\{[A-Z_]+:-([^}]*)\}/g, "$1");

const configOf = (service: Service): ServiceConfig.ServiceConfig => {
  const parsed = ServiceConfig.parse(
    Object.fromEntries(Object.entries(service.environment ?? {}).map(([name, value]) => [name, interpolated(`${value}`)])),
  );
  if (parsed._tag === "Failure") throw parsed.failure;
  return parsed.success;
};
