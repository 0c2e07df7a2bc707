/** The catalogue as a process of its own. */
import { ServiceMain } from "@example/contracts";
import { Layer } from "effect";
import { CatalogService, Catalogue } from "./index.ts";

ServiceMain.run((config) => CatalogService.layer(config).pipe(Layer.provide(Catalogue.layer)));
