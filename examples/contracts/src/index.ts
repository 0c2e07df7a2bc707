/** What the services of the shop agree on: APIs, problems, webhooks, settings, and the ports to the outside. */
export * as OrdersApi from "./OrdersApi.ts";
export * as Problem from "./Problem.ts";
export * as ProblemCode from "./ProblemCode.ts";
export * as ProblemMiddleware from "./ProblemMiddleware.ts";
