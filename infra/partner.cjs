'use strict';

// `custom.partner` of serverless.yml: PARTNER, and every variable of the shell that begins with the partner's name and
// stands in its file in quotes. So partners/acme.py that reads env.get("ACME_URL") is given ACME_URL by both functions,
// and nothing has to be listed twice; a GITHUB_TOKEN that a partner called github does not read stays where it is.

const { existsSync, readFileSync } = require('node:fs');
const path = require('node:path');

const DEFAULT = 'partners.webhook';

/** Stop the deploy with a message that a person can act on: without a stack, the deploy tool shows it alone. */
function refuse(message) {
  throw Object.assign(new Error(message), { stack: undefined });
}

module.exports = () => {
  const partner = process.env.PARTNER || DEFAULT;
  if (!/^partners(\.[a-z_][a-z0-9_]*)+$/.test(partner)) {
    refuse(`PARTNER=${partner}: must be a module in partners/, as partners.acme for partners/acme.py`);
  }
  const module = path.join(__dirname, '..', ...partner.split('.'));
  const file = [`${module}.py`, path.join(module, '__init__.py')].find(existsSync);
  if (!file) refuse(`PARTNER=${partner}: there is no ${path.relative(process.cwd(), `${module}.py`)}`);

  const prefix = `${partner.split('.').pop().toUpperCase()}_`;
  const named = new Set([...readFileSync(file, 'utf8').matchAll(/["']([A-Z][A-Z0-9_]*)["']/g)].map((found) => found[1]));
  const variables = [...named].filter((name) => name.startsWith(prefix) && process.env[name]).sort();
  return { PARTNER: partner, ...Object.fromEntries(variables.map((name) => [name, process.env[name]])) };
};
