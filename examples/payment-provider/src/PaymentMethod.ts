/** The means of payment that the stub knows, by their tokens. Every other token behaves like `pm_success`. */

/** Refused at once. */
export const DECLINE = "pm_decline";
/** Authorizing never answers, and nothing is recorded. */
export const TIMEOUT = "pm_timeout";
/** Authorized, but a capture is accepted and never confirmed, until it is canceled. */
export const CAPTURE_TIMEOUT = "pm_capture_timeout";
/** The capture is done at once, but its webhook comes late. */
export const LATE_CAPTURE = "pm_late_capture";
export const SUCCESS = "pm_success";

export const isDeclined = (token: string): boolean => token === DECLINE;
export const isSilent = (token: string): boolean => token === TIMEOUT;
export const isCaptured = (token: string): boolean => token !== CAPTURE_TIMEOUT;
export const isLate = (token: string): boolean => token === LATE_CAPTURE;
