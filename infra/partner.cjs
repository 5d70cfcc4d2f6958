'use strict';

// `custom.partner` of serverless.yml: PARTNER, and every variable of the shell that begins with the partner's name and
// stands in its file in quotes. So partners/acme.py that reads env.get("ACME_URL") is given ACME_URL by both functions,
// and nothing has to be listed twice; a GITHUB_TOKEN that a partner called github does not read stays where it is.
// A partner without a file here has none: infra/registration.cjs refuses to deploy one that cannot be loaded.

const { existsSync, readFileSync } = require('node:fs');
const path = require('node:path');

const DEFAULT = 'partners.webhook';

module.exports = () => {
  const partner = process.env.PARTNER || DEFAULT;
  const steps = partner.split('.');
  const module = path.join(__dirname, '..', ...steps);
  const file = [`${module}.py`, path.join(module, '__init__.py')].find(existsSync);
  const text = file ? readFileSync(file, 'utf8') : '';

  const prefix = `${steps[steps.length - 1].toUpperCase()}_`;
  const named = new Set([...text.matchAll(/["']([A-Z][A-Z0-9_]*)["']/g)].map((found) => found[1]));
  const variables = [...named].filter((name) => name.startsWith(prefix) && process.env[name]).sort();
  return { PARTNER: partner, ...Object.fromEntries(variables.map((name) => [name, process.env[name]])) };
};
