'use strict';

// `custom.partner` of serverless.yml: PARTNER, and every variable of the shell that begins with the partner's name and
// that the partner reads. So partners/acme.py that reads env.get("ACME_URL") is given ACME_URL by both functions, and
// nothing has to be listed twice; a GITHUB_TOKEN that a partner called github does not read stays where it is.
// What it reads the partner itself is asked (ops/partner/variables.py); infra/settings.cjs refuses to deploy what begins
// with its name and is read by nobody. Without .venv nobody can be asked, and nothing can be deployed.

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
