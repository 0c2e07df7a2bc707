/** How long things are kept, from the environment: durations that fit each other, or the variable that does not. */
import { Retention } from "@org/saga-core";
import { Duration, Result } from "effect";
import { type Environment, type ServiceConfigError, valueOf, wrong } from "./Environment.ts";
import type { VariableName } from "./Variables.ts";

/** Units as people write them: `90s`, `15m`, `36h`, `3d`. */
const UNITS: Readonly<Record<string, (count: number) => Duration.Duration>> = {
  s: Duration.seconds,
  m: Duration.minutes,
  h: Duration.hours,
  d: Duration.days,
};

const VARIABLES = {
  inbox: "INBOX_RETENTION",
  outbox: "OUTBOX_RETENTION",
  idempotencyKeys: "IDEMPOTENCY_RETENTION",
  topic: "TOPIC_RETENTION",
  deadLetters: "DEAD_LETTER_RETENTION",
  retries: "RETRIES_MAX",
} as const satisfies Record<keyof Retention.Durations, VariableName>;

export const parse = (environment: Environment): Result.Result<Retention.Policy, ServiceConfigError> =>
  Result.gen(function* () {
    const durations = {
      inbox: yield* duration(environment, VARIABLES.inbox),
      outbox: yield* duration(environment, VARIABLES.outbox),
      idempotencyKeys: yield* duration(environment, VARIABLES.idempotencyKeys),
      topic: yield* duration(environment, VARIABLES.topic),
      deadLetters: yield* duration(environment, VARIABLES.deadLetters),
      retries: yield* duration(environment, VARIABLES.retries),
    };
    const made = Retention.make(durations);
    return Result.isSuccess(made) ? made.success : yield* wrong(VARIABLES[made.failure.setting], `does not fit: ${made.failure.message}`);
  });

const duration = (environment: Environment, name: VariableName): Result.Result<Duration.Duration, ServiceConfigError> => {
  const value = valueOf(environment, name);
  const [, digits = "", unit = ""] = /^([1-9]\d{0,5})([smhd])$/.exec(value) ?? [];
  const of = UNITS[unit];
  return of === undefined
    ? wrong(name, `is ${JSON.stringify(value.slice(0, 40))}: set a whole number and a unit, one of s, m, h, d, such as 36h or 3d`)
    : Result.succeed(of(Number(digits)));
};
