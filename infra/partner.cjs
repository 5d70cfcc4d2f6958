'use strict';

// `custom.partner` of serverless.yml: PARTNER, and every variable of the shell that begins with the partner's name and
// that the partner reads. So if partners/acme.py reads env.get("ACME_URL"), both functions have ACME_URL, and
// nothing has to be listed twice; a GITHUB_TOKEN that a partner called github does not read is not deployed.
// ops/partner/variables.py finds out what the partner reads; infra/settings.cjs refuses to deploy a variable that begins
// with the partner's name and is read by nobody. Without .venv this cannot be found out, and nothing can be deployed.

const { execFileSync } = require('node:child_process');
const path = require('node:path');

const ROOT = path.join(__dirname, '..');
const DEFAULT = 'partners.webhook';

module.exports = () => {
  const options = { cwd: ROOT, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'], timeout: 60_000 };
  try {
    const said = execFileSync(path.join(ROOT, '.venv', 'bin', 'python'), ['-m', 'ops.releases.before_deploy', 'variables'], options);
    return JSON.parse(said.trim().split('\n').pop());
  } catch {
    return { PARTNER: process.env.PARTNER || DEFAULT };
  }
};
