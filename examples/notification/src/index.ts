/** The notification service. */
export * as NotificationApp from "./NotificationApp.ts";
export * as Notice from "./Notice.ts";
export * as NotificationHttp from "./NotificationHttp.ts";
export * as NotificationService from "./NotificationService.ts";
