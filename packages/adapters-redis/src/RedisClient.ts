/**
 * Connections to Redis, never reconnected by the driver: ioredis would reconnect between WATCH and EXEC by itself and commit
 * without the watch, and nobody would hear that the server behind the connection is another one. Whatever goes wrong drops
 * the connection; the next user gets a new one, after the same checks.
 *
 * - A session is for optimistic transactions (WATCH … MULTI/EXEC): used by one fiber at a time, dropped by any interruption.
 * - A wire is for single commands: many fibers share it, and what they send in one turn goes out together.
 */
import { Context, Duration, Effect, Exit, Layer, Redacted, Schedule, type Scope, Semaphore } from "effect";
import { Redis } from "ioredis";
import { RedisConfig } from "./RedisConfig.ts";
import { classify, RedisError } from "./RedisError.ts";

/** One command of a transaction: its name and arguments. */
export type Write = readonly [string, ...ReadonlyArray<string | number>];

/** What can be done while the session is one's own. */
export interface Connection {
  /** Reads, or WATCHes: commands whose loss loses nothing. */
  readonly read: <A>(operation: string, commands: (redis: Redis) => Promise<A>) => Effect.Effect<A, RedisError>;
  /**
   * MULTI, these, EXEC: all of them, or `Conflict` when a key that was watched has changed since. `Unknown` when the answer
   * was lost.
   */
  readonly write: (operation: string, commands: ReadonlyArray<Write>) => Effect.Effect<ReadonlyArray<unknown>, RedisError>;
}

export interface Session {
  /** Runs `use` with the connection to itself. A failure with `RedisError` (but for `Conflict`) drops the connection. */
  readonly use: <A, R>(
    operation: string,
    use: (connection: Connection) => Effect.Effect<A, RedisError, R>,
  ) => Effect.Effect<A, RedisError, R>;
}

export interface Wire {
  /** The connection, if there is one; it is always the same while nothing went wrong. */
  readonly current: () => Redis | null;
  /** How long nothing was heard on any of its connections, in milliseconds. */
  readonly silence: () => number;
  /** The connection, or a new one. */
  readonly connect: (operation: string) => Effect.Effect<Redis, RedisError>;
  /** Gives this connection up, if it is the current one. */
  readonly drop: (redis: Redis) => Effect.Effect<void>;
  /** One answer of the server. `Unavailable` while reading and `Unknown` while writing: give the connection up. */
  readonly ask: <A>(operation: string, mode: "reading" | "writing", run: () => Promise<A>) => Effect.Effect<A, RedisError>;
}

export class RedisClient extends Context.Service<
  RedisClient,
  {
    readonly prefix: string;
    /** A session; its connection is closed with the scope. */
    readonly session: Effect.Effect<Session, never, Scope.Scope>;
    /** A wire; its connection is closed with the scope. */
    readonly wire: Effect.Effect<Wire, never, Scope.Scope>;
  }
>()("@org/saga-redis/RedisClient") {}

/** Between two looks for a server that is not there yet, in milliseconds. */
const BOOT_RETRY_MS = 500;

/**
 * Waits for the server, however long, and then refuses to start on one that evicts keys (`maxmemory-policy` other than
 * `noeviction`): it would forget holds.
 */
export const layer: Layer.Layer<RedisClient, RedisError, RedisConfig> = Layer.effect(
  RedisClient,
  Effect.gen(function* () {
    const config = yield* RedisConfig;
    const session = makeSession(config);
    yield* Effect.scoped(Effect.flatMap(session, (first) => first.use("RedisClient.layer", () => Effect.void))).pipe(
      Effect.tapError((error) => (error.isRetryable ? Effect.logInfo(`waiting for Redis: ${error.message}`) : Effect.void)),
      Effect.retry({ while: (error) => error.isRetryable, schedule: Schedule.spaced(Duration.millis(BOOT_RETRY_MS)) }),
    );
    return { prefix: config.prefix, session, wire: makeWire(config) };
  }),
);

/** Waits for nothing: each connection is checked when it is made. For who can do without the server, as `HybridStock` can. */
export const layerAtOnce: Layer.Layer<RedisClient, never, RedisConfig> = Layer.effect(
  RedisClient,
  Effect.map(RedisConfig, (config) => ({ prefix: config.prefix, session: makeSession(config), wire: makeWire(config) })),
);

const makeSession = (config: RedisConfig["Service"]): Effect.Effect<Session, never, Scope.Scope> =>
  Effect.gen(function* () {
    const mutex = yield* Semaphore.make(1);
    let current: Redis | null = null;
    const drop = Effect.sync(() => {
      current?.disconnect();
      current = null;
    });
    yield* Effect.addFinalizer(() => drop);

    const connected = Effect.fnUntraced(function* (operation: string): Effect.fn.Return<Redis, RedisError> {
      if (current?.status === "ready") return current;
      yield* drop;
      const redis = open(config);
      current = redis;
      yield* checked(config, operation, redis);
      return redis;
    });

    return {
      use: (operation, use) =>
        mutex.withPermit(
          Effect.flatMap(connected(operation), (redis) => use(connectionOf(config, redis))).pipe(
            Effect.onExit((exit) => (Exit.isSuccess(exit) || isConflict(exit) ? Effect.void : drop)),
          ),
        ),
    };
  });

const makeWire = (config: RedisConfig["Service"]): Effect.Effect<Wire, never, Scope.Scope> =>
  Effect.gen(function* () {
    const mutex = yield* Semaphore.make(1);
    let current: Redis | null = null;
    let heardAt = Number.NEGATIVE_INFINITY;
    const heard = (): void => void (heardAt = performance.now());
    const giveUp = (redis: Redis | null): void => {
      redis?.disconnect();
      if (current === redis) current = null;
    };
    const ready = (): Redis | null => (current?.status === "ready" ? current : null);
    yield* Effect.addFinalizer(() => Effect.sync(() => current?.disconnect()));

    const connect = Effect.fnUntraced(function* (operation: string): Effect.fn.Return<Redis, RedisError> {
      const known = ready();
      if (known !== null) return known;
      const redis = open(config);
      yield* Effect.onError(checked(config, operation, redis), () => Effect.sync(() => redis.disconnect()));
      current?.disconnect();
      current = redis;
      return redis;
    });

    return {
      current: ready,
      silence: () => performance.now() - heardAt,
      connect: (operation) => mutex.withPermit(connect(operation)),
      drop: (redis) => Effect.sync(() => giveUp(redis)),
      ask: (operation, mode, run) => {
        const asked = current;
        // Also if nobody waits for the answer any more: others would wait on the same connection.
        return answered(config, operation, mode === "writing", run, { heard, lost: () => giveUp(asked) });
      },
    };
  });

/** One timer and no fiber: this is done for each batch. */
const answered = <A>(
  config: RedisConfig["Service"],
  operation: string,
  writing: boolean,
  run: () => Promise<A>,
  { heard, lost }: { readonly heard: () => void; readonly lost: () => void },
): Effect.Effect<A, RedisError> =>
  Effect.callback<A, RedisError>((resume) => {
    const timer = setTimeout(() => {
      lost();
      resume(Effect.fail(late(config, operation, writing)));
    }, config.commandTimeoutMillis);
    run().then(
      (value) => {
        clearTimeout(timer);
        heard();
        resume(Effect.succeed(value));
      },
      (cause: unknown) => {
        clearTimeout(timer);
        resume(Effect.fail(classify(cause, operation, writing)));
      },
    );
  });

const late = (config: RedisConfig["Service"], operation: string, writing: boolean): RedisError =>
  new RedisError({
    reason: writing ? "Unknown" : "Unavailable",
    operation,
    message: `no answer within ${config.commandTimeoutMillis} ms`,
  });

/** Connects, and refuses a server that evicts. */
const checked = Effect.fnUntraced(function* (
  config: RedisConfig["Service"],
  operation: string,
  redis: Redis,
): Effect.fn.Return<void, RedisError> {
  // A refused password closes the connection: the reply itself is only heard as an event.
  let heard: unknown;
  redis.on("error", (error) => {
    heard ??= error;
  });
  yield* command(config, operation, false, () => redis.connect().catch((cause: unknown) => Promise.reject(heard ?? cause)));
  const info = yield* command(config, operation, false, () => redis.info("memory"));
  const policy = /^maxmemory_policy:(\S+)/m.exec(info)?.[1];
  if (policy === "noeviction") return;
  const message = `maxmemory-policy must be noeviction, this server has ${policy ?? "none that can be read"}`;
  return yield* new RedisError({ reason: "Misconfigured", operation, message });
});

const open = (config: RedisConfig["Service"]): Redis =>
  new Redis(Redacted.value(config.url), {
    lazyConnect: true,
    connectTimeout: config.connectTimeoutMillis,
    retryStrategy: () => null,
    reconnectOnError: null,
    autoResendUnfulfilledCommands: false,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
  });

const connectionOf = (config: RedisConfig["Service"], redis: Redis): Connection => ({
  read: (operation, commands) => command(config, operation, false, () => commands(redis)),
  write: Effect.fnUntraced(function* (operation, commands) {
    const replies = yield* command(config, operation, true, () => redis.multi(commands.map((each) => [...each])).exec());
    if (replies === null) return yield* new RedisError({ reason: "Conflict", operation, message: "a watched key has changed" });
    const failed = replies.find(([error]) => error !== null);
    // EXEC does not roll back: the rest of it was written.
    if (failed !== undefined)
      return yield* new RedisError({ reason: "Refused", operation, message: "a key is not of the type it must be" });
    return replies.map(([, value]) => value);
  }),
});

const command = <A>(
  config: RedisConfig["Service"],
  operation: string,
  writing: boolean,
  run: () => Promise<A>,
): Effect.Effect<A, RedisError> =>
  Effect.tryPromise({ try: run, catch: (cause) => classify(cause, operation, writing) }).pipe(
    Effect.timeoutOrElse({
      duration: Duration.millis(config.commandTimeoutMillis),
      orElse: () => Effect.fail(late(config, operation, writing)),
    }),
  );

const isConflict = (exit: Exit.Exit<unknown, RedisError>): boolean =>
  Exit.isFailure(exit) && exit.cause.reasons.every((reason) => reason._tag === "Fail" && reason.error.reason === "Conflict");
