/** A process that opens a data folder and keeps it until it is killed: `node folder.main.ts <folder>`. Says so, or why not. */
import { Effect } from "effect";
import * as PgliteInstance from "../src/PgliteInstance.ts";

const [, , dataDir = ""] = process.argv;
const kept = Effect.flatMap(PgliteInstance.open({ dataDir }), (instance) =>
  Effect.andThen(
    Effect.promise(() => instance.exec("create table if not exists kept (n int); insert into kept values (1)")),
    Effect.andThen(
      Effect.sync(() => process.send?.("open")),
      Effect.never,
    ),
  ),
);
await Effect.scoped(kept).pipe(
  Effect.catch((error) => Effect.sync(() => process.send?.(error.message))),
  Effect.runPromise,
);
