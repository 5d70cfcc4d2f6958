'use strict';

// `custom.ages` of serverless.yml: from which age on a message that waits wakes somebody, in seconds. Half of its budget, so
// that as much is left to act in; of an erasure a day at most, as a person waits for it.

const DAY_S = 86_400;
// As worker_fn/batch/disposition.py has them (Budgets); a test compares them.
const MAX_AGE_S = 3 * DAY_S;
const ERASURE_MAX_AGE_S = 13 * DAY_S;

// What is no number infra/settings.cjs refuses.
const half = (told, otherwise) => Math.floor((Number(told) || otherwise) / 2);

module.exports = () => ({
  oldS: half(process.env.MAX_AGE_S, MAX_AGE_S),
  erasureLateS: Math.min(DAY_S, half(process.env.ERASURE_MAX_AGE_S, ERASURE_MAX_AGE_S)),
});
