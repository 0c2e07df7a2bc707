/** Where Redis is and how its keys begin. */
import { Config, Context, Layer, Redacted } from "effect";

/** What a service that runs beside others may leave as it is. */
export const PREFIX_DEFAULT = "saga";

/** A command that was not answered by then may have happened: its connection is given up, in milliseconds. */
export const COMMAND_TIMEOUT_MS = 5_000;

/** A server that does not accept by then is taken to be away, in milliseconds. */
export const CONNECT_TIMEOUT_MS = 5_000;

export interface Settings {
  /** `redis://[user:password@]host:port[/database]`, or `rediss://`. */
  readonly url: Redacted.Redacted;
  /** Begins every key; two services on one server differ in it. */
  readonly prefix: string;
  readonly commandTimeoutMillis: number;
  readonly connectTimeoutMillis: number;
}

export class RedisConfig extends Context.Service<RedisConfig, Settings>()("@org/saga-redis/RedisConfig") {}

export interface Options extends Partial<Omit<Settings, "url">> {
  readonly url: string | Redacted.Redacted;
}

export const settings = (options: Options): Settings => ({
  url: typeof options.url === "string" ? Redacted.make(options.url) : options.url,
  prefix: options.prefix ?? PREFIX_DEFAULT,
  commandTimeoutMillis: options.commandTimeoutMillis ?? COMMAND_TIMEOUT_MS,
  connectTimeoutMillis: options.connectTimeoutMillis ?? CONNECT_TIMEOUT_MS,
});

/** What is wrong with an address, or null. Never shows it. */
export const problemOf = ({ url }: Pick<Settings, "url">): string | null => {
  const text = Redacted.value(url);
  if (URL.canParse(text) && /^rediss?:\/\//.test(text)) return null;
  return "url must have the form redis://user:password@host:port/database, or rediss://";
};

export const layer = (options: Options): Layer.Layer<RedisConfig> => Layer.succeed(RedisConfig, settings(options));

/** From `REDIS_URL` and `REDIS_PREFIX`. */
export const layerConfig: Layer.Layer<RedisConfig, Config.ConfigError> = Layer.effect(
  RedisConfig,
  Config.all({
    url: Config.Redacted("REDIS_URL"),
    prefix: Config.String("REDIS_PREFIX").pipe(Config.withDefault(PREFIX_DEFAULT)),
  }).pipe(Config.map(settings)),
);
