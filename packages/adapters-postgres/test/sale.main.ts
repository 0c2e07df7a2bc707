/** A process with an engine of its own that sells until it is killed: `node sale.main.ts <url> <schema> <name>`. */
import { Effect } from "effect";
import * as StockSale from "./StockSale.ts";

const [url = "", schema = "", name = ""] = process.argv.slice(2);

const sale = StockSale.begin();

/** A line an order, once its commit was answered; its name after a "-", once one was not granted. */
const tell = Effect.sync(() => {
  for (const orderId of sale.committed) process.stdout.write(`${orderId}\n`);
  sale.committed.clear();
  if (sale.refused > 0) process.stdout.write(`-${name}\n`);
  sale.refused = 0;
});

await Effect.gen(function* () {
  const engine = yield* StockSale.connect(url, schema);
  yield* Effect.raceFirst(StockSale.run([engine], sale, name), Effect.forever(Effect.andThen(tell, Effect.sleep("10 millis"))));
}).pipe(Effect.scoped, Effect.runPromise);
