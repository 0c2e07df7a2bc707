/**
 * Values that come back as JSON (messages, states, what a saga remembers) and the function that checks them: any function that
 * returns the value or throws, of one's own or of a validation library (`Body.parse`).
 */
import { Effect, Schema, SchemaGetter, SchemaIssue } from "effect";
import * as MessageTypes from "../domain/Message.ts";

/** Returns the value, or throws if it is none. The value has to be JSON as it is: no dates, no classes. */
export type Parse<B> = (json: unknown) => B;

/** For `Saga.make({ data })`: what an instance remembers. */
export const shape = <B>(parse: Parse<B>): Schema.Codec<B, unknown> =>
  Schema.Unknown.pipe(
    Schema.decodeTo(
      Schema.declare<B>((_value): _value is B => true),
      {
        decode: SchemaGetter.transformEffect((json: unknown) =>
          Effect.try({ try: () => parse(json), catch: () => new SchemaIssue.InvalidValue({ message: "not of the expected shape" }) }),
        ),
        encode: SchemaGetter.transform((value: B): unknown => value),
      },
    ),
  );

/** A message that asks somebody to do something. `type` ends with its version: `seats.hold.v1`. */
export const command = <B>(type: string, parse: Parse<B>, options: MessageTypes.TypeOptions<B>): MessageTypes.MessageType<B> =>
  MessageTypes.command(type, shape(parse), options);

/** A message that tells what happened. */
export const event = <B>(type: string, parse: Parse<B>, options: MessageTypes.TypeOptions<B>): MessageTypes.MessageType<B> =>
  MessageTypes.event(type, shape(parse), options);
