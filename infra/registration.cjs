'use strict';

// Serverless plugin: a registration that breaks a rule of mParticle's is not deployed.
//
// It runs `spillway registration --check`, with the variables that both functions will have, before AWS is asked for anything.
// A bare `serverless deploy` runs it, too, as `make deploy` does. `--force` deploys all the same, and the function then answers
// mParticle with the registration as it is. A partner that cannot be loaded is never deployed, even with --force: its functions
// would fail at every request.

const { execFile } = require('node:child_process');
const { existsSync } = require('node:fs');
const path = require('node:path');

const HOW_TO_FORCE = 'To deploy all the same: make deploy FORCE=1, or serverless deploy --force';

/** The findings of `--check --json`: a line for each, and below it what to do. */
function inWords(findings) {
  return findings.map(({ id, message, mend }) => `  ${message} [${id}]\n    ${mend}`).join('\n');
}

module.exports = class RegistrationGate {
  constructor(serverless, options, { log }) {
    Object.assign(this, { serverless, options, log });
    this.hooks = { 'before:deploy:deploy': () => this.requireRules() };
  }

  get python() {
    return path.join(this.serverless.serviceDir, '.venv', 'bin', 'python');
  }

  async requireRules() {
    const broken = await this.brokenRules();
    if (!broken) return;
    if (!this.options.force) throw this.fail(`${broken}\n${HOW_TO_FORCE}`);
    this.log.warning(`Deployed by force.\n${broken}`);
  }

  fail(message) {
    return new this.serverless.classes.Error(message, 'SPILLWAY_REGISTRATION');
  }

  // The likeliest mistake is a partner's name without `partners.` before it.
  requireModule() {
    const { PARTNER } = this.serverless.service.custom.partner || {};
    const folder = path.join(this.serverless.serviceDir, 'partners');
    if (!PARTNER || PARTNER.includes('.')) return;
    const isThere = [`${PARTNER}.py`, PARTNER].some((name) => existsSync(path.join(folder, name)));
    const isModule = [`${PARTNER}.py`, PARTNER].some((name) => existsSync(path.join(this.serverless.serviceDir, name)));
    if (isThere && !isModule) throw this.fail(`PARTNER=${PARTNER} is no module. Did you mean PARTNER=partners.${PARTNER}?`);
  }

  // The rules that the registration breaks, in words; null if it may be deployed. Throws if the check could not run.
  async brokenRules() {
    this.requireModule();
    if (!existsSync(this.python)) {
      throw this.fail('The registration cannot be checked: there is no .venv here (make deploy makes it).');
    }
    const { code, stdout, stderr } = await this.check();
    const { passed, findings } = this.read(stdout);
    const warnings = findings.filter(({ severity }) => severity === 'warning');
    if (warnings.length) this.log.warning(`About the registration:\n${inWords(warnings)}`);
    if (code === 0 && passed) return null;
    const errors = findings.filter(({ severity }) => severity === 'error');
    if (errors.length) return `The registration breaks rules of mParticle's:\n${inWords(errors)}`;
    throw this.fail(`The registration cannot be checked:\n${stderr.trim() || `the check ended with ${code}`}`);
  }

  check() {
    const partner = Object.entries(this.serverless.service.custom.partner || {}).map(([name, value]) => [name, String(value ?? '')]);
    const command = ['-m', 'ops.cli', 'registration', '--check', '--json'];
    const options = { cwd: this.serverless.serviceDir, env: { ...process.env, ...Object.fromEntries(partner) }, timeout: 60_000 };
    return new Promise((resolve) => {
      execFile(this.python, command, options, (error, stdout, stderr) => resolve({ code: error ? error.code ?? error.signal : 0, stdout, stderr }));
    });
  }

  // A check that could not run prints no JSON, and says why on standard error.
  read(stdout) {
    try {
      return JSON.parse(stdout);
    } catch {
      return { passed: false, findings: [] };
    }
  }
};
