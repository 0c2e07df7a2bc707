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

export const parse = (environment: Environment): Result.Result<Retention.Policy, ServiceConfigError> =>
  Result.gen(function* () {
    const durations = {
      inbox: yield* duration(environment, "INBOX_RETENTION"),
      outbox: yield* duration(environment, "OUTBOX_RETENTION"),
      idempotencyKeys: yield* duration(environment, "IDEMPOTENCY_RETENTION"),
      topic: yield* duration(environment, "TOPIC_RETENTION"),
      deadLetters: yield* duration(environment, "DEAD_LETTER_RETENTION"),
      retries: yield* duration(environment, "RETRIES_MAX"),
    };
    const made = Retention.make(durations);
    return Result.isSuccess(made) ? made.success : yield* wrong("INBOX_RETENTION", `is too short: ${made.failure.message}`);
  });

const duration = (environment: Environment, name: VariableName): Result.Result<Duration.Duration, ServiceConfigError> => {
  const value = valueOf(environment, name);
  const [, digits = "", unit = ""] = /^([1-9]\d{0,5})([smhd])$/.exec(value) ?? [];
  const of = UNITS[unit];
  return of === undefined
    ? wrong(name, `is ${JSON.stringify(value.slice(0, 40))}: set a whole number and a unit, one of s, m, h, d, such as 36h or 3d`)
    : Result.succeed(of(Number(digits)));
};
