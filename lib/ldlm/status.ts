/** Positive statuses of lock replies (guide 08 §3.1). */

/** No lock, but a full reply. */
export const ELDLM_LOCK_ABORTED = 301;
/** Negated, the answer to a glimpse: the object is not known here. */
export const ELDLM_NO_LOCK_DATA = 303;
