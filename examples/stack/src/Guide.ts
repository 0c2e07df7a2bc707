/** What a person may do with a stack that serves: its addresses, and requests that work as they are printed. */
import type { ServiceConfig } from "@example/contracts";

/** An order to ask about: one that the flows placed. */
export interface Sample {
  readonly orderId: string;
  readonly customerId: string;
}

export interface Service {
  readonly name: string;
  readonly url: string;
}

/** Health and metrics of a service; the order service's API and page first. */
export const lines = (order: Service, others: ReadonlyArray<Service>, sample: Sample | null): ReadonlyArray<string> => [
  "",
  `API      ${order.url}/api/v1/orders`,
  `OpenAPI  ${order.url}/docs   (${order.url}/openapi.json)`,
  `Health   ${order.url}/readyz?verbose   (/livez, /health)`,
  `Metrics  ${order.url}/metrics`,
  ...others.map(({ name, url }) => `${name.padEnd(17)} ${url}/readyz?verbose   ${url}/metrics`),
  "",
  "Try:",
  ...commands(order.url, sample).map((command) => `  ${command}`),
];

/** Where `npm run saga` finds the stack, for a POSIX shell. */
export const operating = (settings: ReadonlyArray<readonly [ServiceConfig.VariableName, string]>): ReadonlyArray<string> => [
  "",
  "Operate it, in another shell:",
  ...settings.filter(([, value]) => value !== "").map(([name, value]) => `  export ${name}='${withoutPassword(value)}'`),
  "  npm run saga -- outbox status --schema order",
];

/** The password of a server that somebody else runs: three stars in its place, wherever a URL may have it. */
const withoutPassword = (value: string): string =>
  value.replace(/(\/\/[^/@]*?:)[^/]*@/, "$1***@").replaceAll(/([?&](?:ssl)?password=)[^&]*/gi, "$1***");

/** For a POSIX shell. */
export const commands = (url: string, sample: Sample | null): ReadonlyArray<string> => [
  `curl -s ${url}/api/v1/orders -H 'content-type: application/json' -H 'x-customer-id: ada' -H "idempotency-key: $(date +%s)" ` +
    `-d '{"lines":[{"sku":"mug","quantity":2}],"paymentMethod":"pm_success"}'`,
  ...(sample === null
    ? []
    : [
        `curl -s ${url}/api/v1/orders/${sample.orderId} -H 'x-customer-id: ${sample.customerId}'`,
        `curl -s -X POST ${url}/api/v1/orders/${sample.orderId}/cancel -H 'x-customer-id: ${sample.customerId}'`,
      ]),
  `curl -s '${url}/readyz?verbose'`,
];
