/** A process whose retentions do not fit each other does not start, and says why. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { ServiceMain } from "@example/contracts";
import { expect, it } from "vitest";

const MAIN = fileURLToPath(new URL("../src/main.ts", import.meta.url));

/** Starting Node on a busy machine. */
const START_MS = 30_000;

it(
  "refuses to start where the inbox forgets before a message has come for the last time, with the sum and exit code 2",
  async () => {
    const child = spawn(process.execPath, ["--conditions=@org/source", MAIN], {
      env: { PATH: process.env["PATH"], INBOX_RETENTION: "2d", TOPIC_RETENTION: "7d" },
      stdio: ["ignore", "ignore", "pipe"],
    });
    const [said, [code]] = await Promise.all([text(child.stderr), once(child, "exit")]);
    expect(said).toContain(
      "INBOX_RETENTION does not fit: the inbox forgets a message after 2d, while it may come again for 8d 13h: " +
        "retries 1h + dead letters 1d 12h + topic 7d. Raise the inbox's retention to at least 8d 13h, or lower one of the others",
    );
    expect(code).toBe(ServiceMain.USAGE);
  },
  START_MS,
);
