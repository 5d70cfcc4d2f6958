'use strict';

// Serverless plugin: a deploy prints what it changes of what is live. It is refused if it would replace the partner, a host or
// a setting of the stage, unless ALLOW names it (ALLOW=PARTNER,ACME_URL, or all). Variables are shown by name, without their
// values.
//
// Live means the version that the alias serves. Settings that are no variables of the functions (who gets the alarms, who
// may invoke) are in the metadata of the last deploy's template. A host may be in the partner's code and chosen by a
// variable that is not a URL (a region): then the partner's code is asked (ops/partner/hosts.py), if this checkout has it.

const { execFile } = require('node:child_process');
const { createRequire } = require('node:module');
const { readFileSync, readdirSync } = require('node:fs');
const path = require('node:path');

// The SDK that osls itself ships, as in infra/alias.cjs.
const ours = createRequire(require.resolve('osls/package.json'));
const { GetFunctionConfigurationCommand, LambdaClient } = ours('@aws-sdk/client-lambda');
const { CloudFormationClient, GetTemplateCommand } = ours('@aws-sdk/client-cloudformation');

const FUNCTIONS = ['ingest', 'worker'];
// Variables that say how a deploy is done, not what the stage is. DATA is one of them: without it the data is kept
// (infra/removal.cjs).
const OF_A_RUN = new Set(['ALIAS_MODE', 'AWS_DEFAULT_REGION', 'AWS_REGION', 'DATA', 'PKG_TARGET', 'POD']);
// Variables that describe the release.
const OF_A_RELEASE = new Set(['COMMIT', 'READS_MESSAGES', 'STAGE', 'WRITES_MESSAGES']);
// CloudFormation's errors if there is no such stack.
const NO_STACK = new Set(['ValidationError', 'ResourceNotFoundException']);

const filled = (variables) => Object.fromEntries(Object.entries(variables).filter(([, value]) => typeof value === 'string' && value !== ''));

/** The names of all variables that serverless.yml and infra/*.yml read. */
function askedFor(folder) {
  const files = readdirSync(path.join(folder, 'infra')).filter((name) => name.endsWith('.yml')).map((name) => path.join('infra', name));
  const texts = ['serverless.yml', ...files].map((name) => readFileSync(path.join(folder, name), 'utf8'));
  const names = texts.flatMap((text) => [...text.matchAll(/\benv:([A-Z][A-Z0-9_]*)/g)].map((found) => found[1]));
  return [...new Set(names)].filter((name) => !OF_A_RUN.has(name)).sort();
}

/** The hosts that variables name. */
function hostsOf(variables) {
  const urls = Object.values(variables).filter((value) => /^https?:\/\//.test(value) && URL.canParse(value));
  return [...new Set(urls.map((value) => new URL(value).host))].sort();
}

/** The prefix of the names of a partner's variables, as in ops/partner/variables.py. */
const prefixOf = (env) => `${(env.PARTNER || '').split('.').pop().toUpperCase()}_`;

/**
 * Compare the variables by name: each is new, changed, gone or unchanged, and some replace the partner, a host or a setting of
 * the stage. Both sides are {env, told, hosts}: the functions' variables, the settings given to the deploy, the hosts it delivers to.
 */
function compare(live, next) {
  const lines = [];
  const replaced = [];
  let unchanged = 0;
  const before = { ...live.told, ...live.env };
  const after = { ...next.told, ...next.env };
  // If a host in the partner's code changes, any of the partner's variables may have chosen it.
  const inCode = ({ env, hosts }) => hosts.length > 0 && !hosts.some((host) => hostsOf(env).includes(host));
  const moves = before.PARTNER === after.PARTNER && inCode(live) && inCode(next) && String(live.hosts) !== String(next.hosts);
  const chooses = (name) => moves && name.startsWith(prefixOf(after));
  for (const name of [...new Set([...Object.keys(before), ...Object.keys(after)])].sort()) {
    if (OF_A_RELEASE.has(name) || name === 'PARTNER') continue;
    const untold = name in live.told && !(name in next.told);
    if (name in before && (!(name in after) || untold)) {
      lines.push(`${name}: ${name in after ? 'no longer set, back to its default' : 'gone'}`);
      replaced.push(name);
    } else if (!(name in before)) {
      lines.push(`${name}: new${chooses(name) ? `, ${live.hosts} → ${next.hosts}` : ''}`);
      if (chooses(name)) replaced.push(name);
    } else if (before[name] === after[name]) {
      unchanged += 1;
    } else {
      const [was, is] = [hostsOf({ a: before[name] }), hostsOf({ a: after[name] })];
      const isHost = was.length + is.length > 0;
      const moved = isHost ? String(was) !== String(is) : chooses(name);
      const [from, to] = isHost ? [was[0] || 'no host', is[0] || 'no host'] : [live.hosts, next.hosts];
      lines.push(`${name}: changed${moved ? `, ${from} → ${to}` : ''}`);
      if (moved) replaced.push(name);
    }
  }
  if (before.PARTNER && before.PARTNER !== after.PARTNER) replaced.unshift('PARTNER');
  return { lines, replaced, unchanged };
}

class Changes {
  constructor(serverless, options, { log }) {
    Object.assign(this, { serverless, log });
    this.provider = serverless.getProvider('aws');
    this.hooks = {
      'after:aws:package:finalize:mergeCustomProviderResources': () => this.noteTold(),
      'before:aws:deploy:deploy:createStack': () => this.show(),
    };
  }

  get template() {
    return this.serverless.service.provider.compiledCloudFormationTemplate;
  }

  get stackName() {
    return this.provider.naming.getStackName();
  }

  get stageFile() {
    return `.env.${this.provider.getStage()}`;
  }

  fail(message) {
    return new this.serverless.classes.Error(message, 'SPILLWAY_CHANGES');
  }

  noteTold() {
    const names = [...askedFor(this.serverless.serviceDir), 'PARTNER', ...Object.keys(this.serverless.service.custom.partner)];
    const told = filled(Object.fromEntries(names.map((name) => [name, process.env[name] ?? ''])));
    this.template.Metadata = { ...this.template.Metadata, Spillway: { Told: told } };
  }

  next() {
    const environments = FUNCTIONS.map((name) => {
      const logicalId = this.provider.naming.getLambdaLogicalId(name);
      return filled(this.template.Resources[logicalId].Properties.Environment.Variables);
    });
    return { env: Object.assign({}, ...environments), told: this.template.Metadata?.Spillway?.Told || {} };
  }

  // Null if nothing is deployed.
  async live() {
    const config = await this.provider.getAwsSdkV3Config();
    const lambda = new LambdaClient(config);
    const environments = await Promise.all(FUNCTIONS.map((name) => this.environment(lambda, this.serverless.service.getFunction(name).name)));
    const found = environments.filter(Boolean);
    if (!found.length) return null;
    const next = this.next();
    // References to queues and to the table are not strings here, and nobody set them.
    const said = Object.fromEntries(Object.entries(Object.assign({}, ...found)).filter(([name]) => name in next.env || !this.isReference(name)));
    return { env: filled(said), told: await this.toldLast(new CloudFormationClient(config)) };
  }

  isReference(name) {
    return FUNCTIONS.some((one) => {
      const value = this.template.Resources[this.provider.naming.getLambdaLogicalId(one)].Properties.Environment.Variables[name];
      return value !== undefined && typeof value !== 'string';
    });
  }

  async environment(lambda, name) {
    for (const Qualifier of [this.serverless.service.custom.alias.name, undefined]) {
      try {
        const found = await lambda.send(new GetFunctionConfigurationCommand({ FunctionName: name, Qualifier }));
        return found.Environment?.Variables || {};
      } catch (error) {
        if (error.name !== 'ResourceNotFoundException') throw error;
      }
    }
    return null;
  }

  async toldLast(cloudFormation) {
    try {
      const { TemplateBody } = await cloudFormation.send(new GetTemplateCommand({ StackName: this.stackName }));
      return filled(JSON.parse(TemplateBody).Metadata?.Spillway?.Told || {});
    } catch (error) {
      if (NO_STACK.has(error.name)) return {};
      throw error;
    }
  }

  async show() {
    let live;
    try {
      live = await this.live();
    } catch (error) {
      if (error instanceof this.serverless.classes.Error) throw error;
      throw this.fail(`AWS cannot be asked what is live in ${this.stackName} (${error.name}: ${String(error.message).split('\n')[0]}).`);
    }
    const next = this.next();
    const [liveHosts, nextHosts] = await this.hosts([(live || next).env, next.env]);
    next.hosts = nextHosts;
    if (live) live.hosts = liveHosts;
    const where = ({ env, hosts }) => `${env.PARTNER}, ${hosts.join(' and ') || 'its host is in its code'}`;
    if (!live) {
      const names = Object.keys({ ...next.told }).filter((name) => name !== 'PARTNER');
      this.log.notice(`Nothing of ${this.stackName} is live yet. Its partner: ${where(next)}. Variables set: ${names.join(', ') || 'none'}.`);
      return;
    }
    const { lines, replaced, unchanged } = compare(live, next);
    const [was, is] = [where(live), where(next)];
    this.log.notice(
      [`Against what is live in ${this.stackName}:`, `partner: ${was === is ? `${is} (unchanged)` : `${was} → ${is}`}`, ...lines, `unchanged: ${unchanged} variables`].join('\n  ')
    );
    this.requireAllowed(replaced);
  }

  // The hosts to which workers with these environments deliver; if the partner cannot be asked, the hosts in the variables.
  async hosts(environments) {
    const folder = this.serverless.serviceDir;
    const options = { cwd: folder, timeout: 60_000 };
    const said = await new Promise((resolve) => {
      const asked = execFile(path.join(folder, '.venv', 'bin', 'python'), ['-m', 'ops.releases.before_deploy', 'hosts'], options, (error, stdout) => resolve(error ? '' : stdout));
      asked.stdin.on('error', () => {}); // it ended before it read
      asked.stdin.end(JSON.stringify(environments));
    });
    try {
      return JSON.parse(said.trim().split('\n').pop());
    } catch {
      return environments.map(hostsOf);
    }
  }

  requireAllowed(replaced) {
    const allowed = new Set((process.env.ALLOW || '').split(',').map((name) => name.trim()));
    const refused = allowed.has('all') ? [] : replaced.filter((name) => !allowed.has(name));
    if (!refused.length) return;
    throw this.fail(
      `This deploy would replace what is live: ${refused.join(', ')}. To keep it, set the old value in ${this.stageFile}; to replace it, set ALLOW=${replaced.join(',')}`
    );
  }
}

module.exports = Changes;
