/**
 * The idempotency keys of a batch: which of its requests are first, which repeat an answer, which repeat each other.
 *
 * Not the port (`IdempotencyKeys`), and not a request's waiting for another process (`IdempotentRequest`): one batch, inside
 * its transaction.
 */
import { Effect } from "effect";
import { type IdempotencyKey, IdempotencyKeys } from "../ports/IdempotencyKeys.ts";
import type { Input, Stored } from "./Aggregate.ts";

/** What a key decided of a request, before anybody decided the request. */
export type Settled<A> =
  | { readonly _tag: "Answered"; readonly answer: A; readonly repeated: boolean }
  | { readonly _tag: "KeyReused" }
  | { readonly _tag: "InFlight" };

export interface Claims<A> {
  /** By position in the batch. */
  readonly settled: ReadonlyMap<number, Settled<A>>;
  /** Requests that repeat an earlier one of this very batch, and which one. */
  readonly repeats: ReadonlyMap<number, number>;
}

export interface Recorded {
  readonly key: IdempotencyKey;
  readonly answer: unknown;
}

/** A request with an idempotency key, and where it stands in its batch. */
interface Claim {
  readonly key: IdempotencyKey;
  readonly index: number;
}

const nameOf = ({ key }: Claim): string => `${key.scope}\n${key.key}`;

/** Claims the keys of all requests. What is neither settled nor a repetition is to be decided. */
export const claim = Effect.fnUntraced(function* <S, C, A, R>(stored: Stored<S, A, R>, inputs: ReadonlyArray<Input<C>>) {
  const settled = new Map<number, Settled<A>>();
  const repeats = new Map<number, number>();
  let open = inputs.flatMap((input, index): ReadonlyArray<Claim> =>
    input._tag === "Request" && input.idempotency !== null ? [{ key: input.idempotency, index }] : [],
  );
  while (open.length > 0) {
    const idempotency = yield* IdempotencyKeys;
    const firsts = new Map<string, Claim>();
    for (const each of open) if (!firsts.has(nameOf(each))) firsts.set(nameOf(each), each);
    const claims = [...firsts.values()];
    const verdicts = yield* idempotency.claim(claims.map(({ key }) => key));
    const taken = new Set<string>();
    for (const [position, each] of claims.entries()) {
      const verdict = verdicts[position];
      if (verdict?._tag === "Repeated")
        settled.set(each.index, { _tag: "Answered", answer: stored.decodeAnswer(verdict.answer), repeated: true });
      if (verdict?._tag === "InFlight") settled.set(each.index, verdict);
      if (verdict?._tag !== "Mismatch") continue;
      settled.set(each.index, { _tag: "KeyReused" });
      taken.add(nameOf(each));
    }
    const others: Array<Claim> = [];
    for (const each of open) {
      const first = firsts.get(nameOf(each));
      if (first === undefined || first === each) continue;
      if (first.key.fingerprint === each.key.fingerprint) repeats.set(each.index, first.index);
      // Another batch's request has the key, and this may be its repetition, whoever asked before it here.
      else if (taken.has(nameOf(each))) others.push(each);
      // Nobody can see yet whose request that is.
      else if (settled.get(first.index)?._tag === "InFlight") settled.set(each.index, { _tag: "InFlight" });
      else settled.set(each.index, { _tag: "KeyReused" });
    }
    open = others;
  }
  const claimed: Claims<A> = { settled, repeats };
  return claimed;
});

/** Records the answers of requests that were decided. */
export const record = Effect.fnUntraced(function* (answers: ReadonlyArray<Recorded>) {
  if (answers.length === 0) return;
  const idempotency = yield* IdempotencyKeys;
  yield* idempotency.record(answers);
});
