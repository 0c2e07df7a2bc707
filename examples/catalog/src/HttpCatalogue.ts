/**
 * `Catalogue` over HTTP: one request for all products, kept for a moment. An answer that is older than `keepMillis` is
 * asked for again, by one caller for all; while the service cannot be reached, the last answer is used for `staleMillis`.
 */
import { Clock, Duration, Effect, Layer, Semaphore } from "effect";
import { HttpClient, HttpClientRequest } from "effect/http";
import { HttpApiClient } from "effect/http-api";
import type { Sku } from "@org/saga-core";
import { CatalogApi } from "./CatalogApi.ts";
import { Catalogue, CatalogueUnavailable, pick } from "./Catalogue.ts";
import type { Product } from "./Product.ts";

export interface Options {
  readonly baseUrl: string;
  /** Bound of one request, in milliseconds. */
  readonly timeoutMillis?: number;
  /** How long an answer is fresh, in milliseconds: how late a price change may be seen. */
  readonly keepMillis?: number;
  /** How long an answer may serve when there is no newer one, in milliseconds. */
  readonly staleMillis?: number;
}

export const defaults = { timeoutMillis: 2_000, keepMillis: 5_000, staleMillis: 60_000 };

interface Kept {
  readonly at: number;
  readonly list: ReadonlyArray<Product>;
  readonly bySku: ReadonlyMap<Sku, Product>;
}

export const make = Effect.fnUntraced(function* (options: Options) {
  const { baseUrl, timeoutMillis, keepMillis, staleMillis } = { ...defaults, ...options };
  const client = yield* HttpApiClient.make(CatalogApi, {
    transformClient: HttpClient.mapRequest(HttpClientRequest.prependUrl(baseUrl)),
  });
  const one = yield* Semaphore.make(1);
  let kept: Kept | null = null;

  const fetch = client.products.list().pipe(
    Effect.mapError((error) => new CatalogueUnavailable({ message: error._tag })),
    Effect.timeoutOrElse({
      duration: Duration.millis(timeoutMillis),
      orElse: () => Effect.fail(new CatalogueUnavailable({ message: `no answer within ${timeoutMillis} ms` })),
    }),
  );

  const refresh = Effect.gen(function* () {
    const before = yield* Clock.currentTimeMillis;
    // Whoever waited for another one's answer takes it.
    if (kept !== null && before - kept.at < keepMillis) return kept;
    const list = yield* fetch.pipe(
      Effect.catch((error) => (kept !== null && before - kept.at < staleMillis ? Effect.succeed(null) : Effect.fail(error))),
    );
    if (list !== null) kept = { at: before, list, bySku: new Map(list.map((product) => [product.sku, product])) };
    return kept ?? (yield* new CatalogueUnavailable({ message: "no answer yet" }));
  });

  const current = Effect.gen(function* () {
    const now = yield* Clock.currentTimeMillis;
    return kept !== null && now - kept.at < keepMillis ? kept : yield* one.withPermits(1)(refresh);
  });

  return Catalogue.of({
    find: (skus) => Effect.map(current, ({ bySku }) => pick(bySku, skus)),
    list: Effect.map(current, ({ list }) => list),
  });
});

export const layer = (options: Options): Layer.Layer<Catalogue, never, HttpClient.HttpClient> => Layer.effect(Catalogue, make(options));
