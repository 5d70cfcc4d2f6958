'use strict';

// Serverless plugin: settings that cannot work are not deployed, and only their owner can read the files written here.
//
// It asks `ops.releases.before_deploy` whether both functions could start with their variables, whether a variable was meant
// for the partner and is read by nobody, and whether the partner's calls keep the rules of `spillway partner check`. `--force`
// overrides the last two only. If headers are kept in a store (..._SECRET_HEADERS), both roles may read that one entry.

const { execFile } = require('node:child_process');
const { chmodSync, existsSync } = require('node:fs');
const path = require('node:path');
const { readPermission } = require('./stored.cjs');

const NEVER = 'settings.invalid';
const STORED = /^[A-Z][A-Z0-9_]*_SECRET_HEADERS$/;

const inWords = (findings) => findings.map(({ id, message, mend }) => `  ${message} [${id}]\n    ${mend}`).join('\n');

module.exports = class SettingsGate {
  constructor(serverless, options, { log }) {
    Object.assign(this, { serverless, options, log });
    // The template holds the functions' variables, so only the owner may read the files that this process writes from here on.
    process.umask(0o077);
    this.hooks = {
      'before:deploy:deploy': () => this.requireSettings(),
      'after:package:compileFunctions': () => this.letStoredBeRead(),
      'after:package:finalize': () => this.closeFolders(),
    };
  }

  get python() {
    return path.join(this.serverless.serviceDir, '.venv', 'bin', 'python');
  }

  fail(message) {
    return new this.serverless.classes.Error(message, 'SPILLWAY_SETTINGS');
  }

  async requireSettings() {
    if (!existsSync(this.python)) throw this.fail('The settings cannot be checked: there is no .venv here (make deploy makes it).');
    const { stdout, stderr, status } = await this.check();
    let found;
    try {
      found = JSON.parse(stdout).findings;
    } catch {
      throw this.fail(`The settings cannot be checked: ${stderr.trim().split('\n').pop() || `the check ended with ${status}`}`);
    }
    if (!found.length) return;
    const problem = `These settings cannot work:\n${inWords(found)}`;
    if (this.options.force && !found.some(({ id }) => id === NEVER)) {
      this.log.warning(`Deployed by force.\n${problem}`);
      return;
    }
    throw this.fail(problem);
  }

  // Each function's variables; a reference to something in the stack is an object.
  told() {
    const { provider, functions } = this.serverless.service;
    const all = Object.entries(functions).map(([name, { environment }]) => [name, { ...provider.environment, ...environment }]);
    return Object.fromEntries(all);
  }

  check() {
    const partner = Object.entries(this.serverless.service.custom.partner || {}).map(([name, value]) => [name, String(value ?? '')]);
    const options = { cwd: this.serverless.serviceDir, env: { ...process.env, ...Object.fromEntries(partner) }, timeout: 60_000 };
    return new Promise((resolve) => {
      const asked = execFile(this.python, ['-m', 'ops.releases.before_deploy', 'settings'], options, (error, stdout, stderr) =>
        resolve({ stdout, stderr, status: error ? error.code ?? error.signal : 0 })
      );
      asked.stdin.on('error', () => {}); // it ended before it read: its answer says why
      asked.stdin.end(JSON.stringify(this.told()));
    });
  }

  letStoredBeRead() {
    const partner = Object.entries(this.serverless.service.custom.partner || {});
    const sources = partner.filter(([name, value]) => STORED.test(name) && value).map(([name, value]) => {
      const statement = readPermission(value);
      if (!statement) throw this.fail(`${name} must say where the headers are kept (ssm:/name or secretsmanager:arn:...), and must not be the headers.`);
      return statement;
    });
    if (!sources.length) return;
    this.serverless.service.provider.compiledCloudFormationTemplate.Resources.StoredSettingsPolicy = {
      Type: 'AWS::IAM::Policy',
      Properties: {
        PolicyName: 'stored-settings',
        Roles: [{ Ref: 'IngestRole' }, { Ref: 'WorkerRole' }],
        PolicyDocument: { Version: '2012-10-17', Statement: sources },
      },
    };
  }

  // Close folders that were there before, because an earlier release left them open to others.
  closeFolders() {
    const packaged = this.options.package || this.serverless.service.package.path || path.join(this.serverless.serviceDir, '.serverless');
    for (const folder of [packaged, path.join(this.serverless.serviceDir, '.serverless')]) {
      if (existsSync(folder)) chmodSync(folder, 0o700);
    }
  }
};
