/** The notification service. */
export * as Notice from "./Notice.ts";
export * as NotificationService from "./NotificationService.ts";
