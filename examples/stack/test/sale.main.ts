/** A process with an engine of its own that sells until it is killed: `node sale.main.ts <postgres> <redis> <schema> <name>`. */
import { Effect } from "effect";
import * as HybridSale from "./HybridSale.ts";

const [postgresUrl = "", redisUrl = "", schema = "", name = ""] = process.argv.slice(2);

const sale = HybridSale.begin();
const told = new Set<string>();

/** A line an order, once its commit was answered. */
const tell = Effect.forever(
  Effect.andThen(
    Effect.sync(() => {
      for (const orderId of sale.committed) {
        if (told.has(orderId)) continue;
        told.add(orderId);
        process.stdout.write(`${orderId}\n`);
      }
    }),
    Effect.sleep("20 millis"),
  ),
);

await Effect.gen(function* () {
  const engine = yield* HybridSale.connect({ postgresUrl, redisUrl, schema });
  yield* Effect.raceFirst(HybridSale.run([engine], sale, name), tell);
}).pipe(Effect.scoped, Effect.runPromise);
