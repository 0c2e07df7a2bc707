/**
 * LISTEN on a connection of its own, outside of the pool: it stays open, and is idle. A connection that is lost is made
 * anew, with pauses that grow. What was told meanwhile is missed; so whoever listens is called once after each connect.
 */
import { Duration, Redacted } from "effect";
import pg from "pg";
import type { PgConfig } from "./PgConfig.ts";

/** First pause before a lost connection is made anew, in milliseconds. Doubles up to the maximum. */
const PAUSE_MS = 100;
const PAUSE_MAX_MS = 5_000;

/** A connection that does not close by then is left to the server, in milliseconds. */
const CLOSE_TIMEOUT_MS = 1_000;

/** Calls `onNotify`, also after each connect; what is returned ends it. */
export const listen = (config: PgConfig, channel: string, onNotify: () => void): (() => Promise<void>) => {
  let isClosed = false;
  let pause = PAUSE_MS;
  let timer: NodeJS.Timeout | undefined;
  let current: pg.Client | null = null;
  const connect = async (): Promise<void> => {
    const client = clientOf(config);
    current = client;
    let isLost = false;
    const lose = (): void => {
      if (isLost) return;
      isLost = true;
      client.end().catch(() => undefined);
      if (isClosed) return;
      timer = setTimeout(() => void connect(), pause);
      pause = Math.min(pause * 2, PAUSE_MAX_MS);
    };
    client.on("error", lose);
    client.on("end", lose);
    client.on("notification", onNotify);
    try {
      await client.connect();
      await client.query(`listen ${pg.escapeIdentifier(channel)}`);
      pause = PAUSE_MS;
      onNotify();
    } catch {
      lose();
    }
  };
  void connect();
  return async () => {
    isClosed = true;
    clearTimeout(timer);
    if (current !== null) await closed(current);
  };
};

const clientOf = (config: PgConfig): pg.Client =>
  new pg.Client({
    connectionString: Redacted.value(config.url),
    application_name: config.applicationName,
    connectionTimeoutMillis: Duration.toMillis(config.connectTimeout),
    query_timeout: Duration.toMillis(config.statementTimeout),
    keepAlive: true,
    keepAliveInitialDelayMillis: Duration.toMillis(config.keepAlive),
  });

const closed = async (client: pg.Client): Promise<void> => {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, CLOSE_TIMEOUT_MS);
  });
  await Promise.race([client.end().catch(() => undefined), late]);
  clearTimeout(timer);
};
