/** Store-then-process on real Kafka and PostgreSQL, with processes that are killed and frozen: nothing lost, one effect, in order. */
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { randomBytes, randomUUID } from "node:crypto";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { CheckoutMessages as M, Message, MessageBus, OrderId } from "@org/saga-core";
import { KafkaBus } from "@org/saga-kafka";
import { PgClient, PgStores } from "@org/saga-postgres";
import { realServer } from "@tools/servers/testing";
import { Effect, Layer, ManagedRuntime } from "effect";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

const url = realServer("postgres");
const brokers = realServer("kafka");

const MAIN = fileURLToPath(new URL("./storedConsumer.main.ts", import.meta.url));
const LOOK_EVERY_MS = 50;
/** A lease and a session of Kafka's have to end, on a busy machine. */
const TEST_MS = 90_000;
const KEYS = 12;

type Role = "puller" | "worker" | "both";
type Hang = "none" | "beforeStore" | "beforeAck" | "beforeMark";

/** A process, and what it said. */
class Child {
  readonly process: ChildProcessByStdio<null, Readable, null>;
  readonly said: Array<string> = [];
  readonly #ended: Promise<void>;

  constructor(args: ReadonlyArray<string>) {
    this.process = spawn(process.execPath, ["--conditions=@org/source", "--disable-warning=TimeoutNegativeWarning", MAIN, ...args], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    this.#ended = new Promise((resolve) => this.process.once("exit", () => resolve()));
    createInterface({ input: this.process.stdout }).on("line", (line) => this.said.push(line));
  }

  async says(word: string): Promise<void> {
    await until(() => this.said.some((line) => line.startsWith(word)));
  }

  count(word: string): number {
    return this.said.filter((line) => line.startsWith(word)).length;
  }

  async kill(): Promise<void> {
    this.process.kill("SIGKILL");
    await this.#ended;
  }
}

const until = async (condition: () => boolean | Promise<boolean>): Promise<void> => {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
};

describe.runIf(url !== null && brokers !== null)("a stored consumer on Kafka and PostgreSQL", () => {
  const name = `stored_${randomBytes(4).toString("hex")}`;
  const children: Array<Child> = [];
  let test = 0;
  let schema = "";
  let prefix = "";
  let runtime: ManagedRuntime.ManagedRuntime<PgClient.PgClient | MessageBus, unknown>;
  let sent: Array<Message.Encoded> = [];

  const start = (role: Role, hang: Hang = "none"): Child => {
    const child = new Child([url ?? "", schema, (brokers ?? []).join(), prefix, role, hang]);
    children.push(child);
    return child;
  };

  const publish = (count: number) =>
    runtime.runPromise(
      Effect.gen(function* () {
        const messages = Array.from({ length: count }, (_, index) => {
          const order = OrderId.make(`order-${index % KEYS}`);
          const draft = M.CommitStock.draft({ orderId: order }, { stepKey: `${order}:commit-stock:1`, saga: "checkout@1" });
          return Message.stamp(draft, {
            id: randomUUID(),
            occurredAt: 1,
            correlationId: "c",
            causationId: null,
            traceparent: null,
            tracestate: null,
          });
        });
        sent.push(...messages);
        yield* (yield* MessageBus).publish(messages);
      }),
    );

  const rows = <Row extends object>(text: string) =>
    runtime.runPromise(
      Effect.flatMap(PgClient.PgClient, (client) =>
        Effect.map(client.query<Row>("Test.rows", text.replaceAll("$", client.tables)), (found) => found.rows),
      ),
    );

  const effects = () =>
    rows<{ readonly cause: string; readonly key: string }>(`select causation_id as cause, aggregateid as key from $outbox order by seq`);
  const stored = async () => Number((await rows<{ readonly n: number }>(`select count(*)::int as n from $inbox_queue`))[0]?.n);

  /** Everything was handled, once, in order per key, and nothing is left in the queue. */
  const settled = async (): Promise<void> => {
    await until(async () => (await effects()).length >= sent.length && (await stored()) === 0);
    const seen = await effects();
    expect(seen.length).toBe(sent.length);
    for (const key of new Set(sent.map((message) => message.key))) {
      const order = sent.filter((message) => message.key === key).map(({ id }) => id);
      expect(seen.filter((effect) => effect.key === key).map(({ cause }) => cause)).toEqual(order);
    }
    expect(await rows("select 1 from $dead_letters")).toEqual([]);
  };

  beforeEach(async () => {
    test += 1;
    schema = `${name}_${test}`;
    prefix = `${name.replace("_", "-")}-${test}-`;
    sent = [];
    const bus = KafkaBus.layer({ brokers: brokers ?? [], topicPrefix: prefix, partitions: 3 });
    runtime = ManagedRuntime.make(Layer.merge(PgStores.layer({ url: url ?? "", schema, poolSize: 2 }), bus));
    await runtime.runPromise(Effect.flatMap(MessageBus, (each) => each.ensureTopics([M.CommitStock.topic])));
  });

  afterEach(async () => {
    for (const child of children) child.process.kill("SIGCONT");
    await Promise.all(children.splice(0).map((child) => child.kill()));
    await runtime.runPromise(
      Effect.flatMap(PgClient.PgClient, (client) => client.query("Test.drop", `drop schema ${client.quoted} cascade`)),
    );
    await runtime.dispose();
  });

  it(
    "handles everything once and in order, with two processes of which one pulls; when that one is killed, the other goes on",
    async () => {
      const [left, right] = [start("both"), start("both")];
      await publish(200);
      await settled();
      const [puller, other] = left.count("got") > 0 ? [left, right] : [right, left];
      expect(other.count("got")).toBe(0);
      expect(left.count("handled") + right.count("handled")).toBeGreaterThan(0);
      await puller.kill();
      await publish(200);
      await settled();
      expect(other.count("got")).toBeGreaterThan(0);
    },
    TEST_MS,
  );

  it(
    "stores a batch once whose puller was killed between store and acknowledgement",
    async () => {
      await publish(60);
      const doomed = start("puller", "beforeAck");
      await doomed.says("hanging");
      await until(async () => (await stored()) > 0);
      await doomed.kill();
      const successor = start("both");
      // The offset was not committed: what was stored comes again.
      const again = (): number =>
        successor.said.filter((line) => line.startsWith("got")).reduce((sum, line) => sum + Number(line.slice(4)), 0);
      await until(() => again() >= 60);
      await settled();
    },
    TEST_MS,
  );

  it(
    "has one effect of a message whose worker was killed between the handler's commit and the mark",
    async () => {
      start("puller");
      const doomed = start("worker", "beforeMark");
      await publish(60);
      await doomed.says("hanging");
      await doomed.kill();
      const done = (await effects()).length;
      expect(done).toBeGreaterThan(0);
      // Handled, and not marked.
      expect(done + (await stored())).toBeGreaterThan(60);
      start("worker");
      await settled();
    },
    TEST_MS,
  );

  it(
    "refuses the batch of a puller that was frozen past its lease, and loses nothing",
    async () => {
      const frozen = start("puller", "beforeStore");
      // Several batches: it has stored before, with the fence that is then too old.
      await publish(30);
      await frozen.says("Stored");
      const batches = frozen.count("got");
      await publish(30);
      await until(() => frozen.count("got") > batches);
      frozen.process.kill("SIGSTOP");
      const successor = start("both");
      await successor.says("Stored");
      frozen.process.kill("SIGCONT");
      await settled();
      await publish(30);
      await settled();
      // Woken up, it stored nothing more.
      expect(frozen.count("Stored")).toBeLessThanOrEqual(batches);
    },
    TEST_MS,
  );
});
