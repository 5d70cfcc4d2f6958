'use strict';

// `custom.ages` of serverless.yml: the age in seconds at which a waiting message raises an alarm. That is half of the time for
// which it may wait, so that the other half is left to act in; for an erasure at most a day, because a person waits for it.

const DAY_S = 86_400;
// The same values as in worker_fn/batch/disposition.py (Budgets); a test compares them.
const MAX_AGE_S = 3 * DAY_S;
const ERASURE_MAX_AGE_S = 13 * DAY_S;

// infra/settings.cjs refuses a value that is not a number.
const half = (told, otherwise) => Math.floor((Number(told) || otherwise) / 2);

module.exports = () => ({
  oldS: half(process.env.MAX_AGE_S, MAX_AGE_S),
  erasureLateS: Math.min(DAY_S, half(process.env.ERASURE_MAX_AGE_S, ERASURE_MAX_AGE_S)),
});
