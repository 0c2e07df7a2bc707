/**
 * How settings are read from environment variables: an empty one counts as not set, and a bad one is an error that names it
 * and says what to do.
 */
import { Redacted, Result, Schema } from "effect";
import { type VariableName, variables } from "./Variables.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

export class ServiceConfigError extends Schema.TaggedError<ServiceConfigError>()("ServiceConfigError", {
  variable: Schema.String,
  message: Schema.String,
}) {}

export const valueOf = (environment: Environment, name: VariableName): string => {
  const value = environment[name]?.trim() ?? "";
  return value === "" ? variables[name].fallback : value;
};

export const wrong = (name: VariableName, message: string): Result.Result<never, ServiceConfigError> =>
  Result.fail(new ServiceConfigError({ variable: name, message: `${name} ${message}` }));

export const list = (text: string): ReadonlyArray<string> =>
  text
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");

/** A secret is shown nowhere. */
export const secret = (value: string | null): Redacted.Redacted | null => (value === null ? null : Redacted.make(value));

/** Reads a URL; null if it is empty. The URL is not repeated: it may hold a password. */
export const reader =
  (environment: Environment, protocols: ReadonlyArray<string>) =>
  (name: VariableName): Result.Result<string | null, ServiceConfigError> => {
    const value = valueOf(environment, name);
    if (value === "") return Result.succeed(null);
    return URL.canParse(value) && protocols.includes(new URL(value).protocol)
      ? Result.succeed(value.replace(/\/+$/, ""))
      : wrong(name, `is not a URL that starts with ${protocols.map((protocol) => `${protocol}//`).join(" or ")}`);
  };

export const whole = (
  environment: Environment,
  name: VariableName,
  minimum: number,
  maximum: number,
): Result.Result<number, ServiceConfigError> => {
  const value = valueOf(environment, name);
  const number = /^\d{1,15}$/.test(value) ? Number(value) : Number.NaN;
  return number >= minimum && number <= maximum
    ? Result.succeed(number)
    : wrong(
        name,
        `is ${JSON.stringify(value.slice(0, 40))}: set a whole number from ${minimum} to ${maximum}, or remove it${variables[name].fallback === "" ? "" : ` for ${variables[name].fallback}`}`,
      );
};

export const pattern = (
  environment: Environment,
  name: VariableName,
  form: RegExp,
  words: string,
): Result.Result<string, ServiceConfigError> => {
  const value = valueOf(environment, name);
  return form.test(value) ? Result.succeed(value) : wrong(name, `is ${JSON.stringify(value.slice(0, 80))}: set ${words}`);
};
