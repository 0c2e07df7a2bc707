/**
 * Connections to Redis for optimistic transactions (WATCH … MULTI/EXEC).
 *
 * A session has a connection of its own, used by one fiber at a time, and never reconnected by the driver: ioredis would
 * reconnect between WATCH and EXEC by itself and commit without the watch. Whatever goes wrong, and any interruption, drops
 * the connection; the next user gets a new one, after the same checks.
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

export class RedisClient extends Context.Service<
  RedisClient,
  {
    readonly prefix: string;
    /** A session; its connection is closed with the scope. */
    readonly session: Effect.Effect<Session, never, Scope.Scope>;
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
    return { prefix: config.prefix, session };
  }),
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
      // A refused password closes the connection: the reply itself is only heard as an event.
      let heard: unknown;
      redis.on("error", (error) => {
        heard ??= error;
      });
      yield* command(config, operation, false, () => redis.connect().catch((cause: unknown) => Promise.reject(heard ?? cause)));
      const info = yield* command(config, operation, false, () => redis.info("memory"));
      const policy = /^maxmemory_policy:(\S+)/m.exec(info)?.[1];
      if (policy === "noeviction") return redis;
      const message = `maxmemory-policy must be noeviction, this server has ${policy ?? "none that can be read"}`;
      return yield* new RedisError({ reason: "Misconfigured", operation, message });
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
      orElse: () =>
        Effect.fail(
          new RedisError({
            reason: writing ? "Unknown" : "Unavailable",
            operation,
            message: `no answer within ${config.commandTimeoutMillis} ms`,
          }),
        ),
    }),
  );

const isConflict = (exit: Exit.Exit<unknown, RedisError>): boolean =>
  Exit.isFailure(exit) && exit.cause.reasons.every((reason) => reason._tag === "Fail" && reason.error.reason === "Conflict");
