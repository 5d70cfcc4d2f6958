'use strict';

// Serverless plugin: the alias `production` on every function, and what stands on it.
//
// mParticle invokes an alias and the queue's mapping feeds an alias, so a deploy publishes a version and decides
// separately whether that version goes live (custom.alias.mode). `serverless promote` decides later, both functions together.
// Published plugins for this need the AWS SDK v2 surface that osls 4 removed; docs/adr/0003 has the whole story.

const { createRequire } = require('node:module');

// The SDK that osls itself ships: a second one in package.json would be a second version to keep.
const {
  GetAliasCommand,
  LambdaClient,
  UpdateAliasCommand,
  paginateListVersionsByFunction,
} = createRequire(require.resolve('osls/package.json'))('@aws-sdk/client-lambda');

const isVersion = (text) => /^[1-9]\d*$/.test(text);

/** `7` means version 7 of every function, `ingest=7,worker=9` says each. Returns null for anything else. */
function readVersions(text, functionNames) {
  if (isVersion(text)) return new Map(functionNames.map((name) => [name, text]));
  const pairs = text.split(',').map((pair) => pair.trim().split('='));
  const versions = new Map(pairs);
  const complete = versions.size === functionNames.length && functionNames.every((name) => isVersion(versions.get(name) || ''));
  return complete ? versions : null;
}

module.exports = class ProductionAlias {
  constructor(serverless, options, { log, writeText }) {
    Object.assign(this, { serverless, options, log, writeText });
    this.provider = serverless.getProvider('aws');
    this.commands = {
      promote: {
        usage: 'Point the production alias of every function at its newest version, or at an earlier one',
        lifecycleEvents: ['promote'],
        options: { to: { usage: 'A version for all (7), or one for each (ingest=7,worker=9)', type: 'string' } },
      },
    };
    this.hooks = {
      'before:deploy:deploy': () => this.requirePartner(),
      // Versions exist from here on, and events (the queue's mapping) are compiled next: what is set as a function's
      // `targetAlias` is what osls makes them point at.
      'after:package:compileFunctions': () => this.addAliases(),
      'after:aws:info:displayFunctions': () => this.showLive(),
      'promote:promote': () => this.promote(),
    };
  }

  get config() {
    return this.serverless.service.custom.alias;
  }

  get resources() {
    return this.serverless.service.provider.compiledCloudFormationTemplate.Resources;
  }

  get functionNames() {
    return this.serverless.service.getAllFunctions();
  }

  fail(message) {
    return new this.serverless.classes.Error(message, 'SPILLWAY_ALIAS');
  }

  deployedName(functionName) {
    return this.serverless.service.getFunction(functionName).name;
  }

  aliasLogicalId(functionName) {
    const { naming } = this.provider;
    return `${naming.getNormalizedFunctionName(functionName)}${naming.getNormalizedFunctionName(this.config.name)}Alias`;
  }

  async lambda() {
    this.client ||= new LambdaClient(await this.provider.getAwsSdkV3Config());
    return this.client;
  }

  // A worker without an address would receive, fail and return each message until somebody looks.
  requirePartner() {
    const { PARTNER, WEBHOOK_URL } = this.serverless.service.custom.partner || {};
    if (PARTNER === 'partners.webhook' && !WEBHOOK_URL) {
      throw this.fail('Where do deliveries go? Set WEBHOOK_URL (WEBHOOK_URL=https://... make deploy), or PARTNER to a partner of your own.');
    }
  }

  async addAliases() {
    const versions = await this.chooseVersions();
    for (const name of this.functionNames) {
      const logicalId = this.aliasLogicalId(name);
      this.resources[logicalId] = {
        Type: 'AWS::Lambda::Alias',
        Properties: {
          FunctionName: { Ref: this.provider.naming.getLambdaLogicalId(name) },
          FunctionVersion: versions.get(name) || { 'Fn::GetAtt': [this.newVersionLogicalId(name), 'Version'] },
          Name: this.config.name,
        },
      };
      this.serverless.service.getFunction(name).targetAlias = { name: this.config.name, logicalId };
    }
    this.addInvokers();
  }

  // For each function the version that is to be live; a function that is not in the map gets the one this deploy publishes.
  async chooseVersions() {
    const mode = String(this.config.mode).trim();
    if (mode === 'move') return new Map();
    if (mode !== 'hold') {
      const versions = readVersions(mode, this.functionNames);
      if (!versions) throw this.fail(`ALIAS_MODE is "${mode}"; it is move, hold, a version number, or one for each (${this.functionNames.join('=1,')}=1).`);
      return versions;
    }
    if (this.serverless.processedInput.commands[0] !== 'deploy') {
      throw this.fail('ALIAS_MODE=hold asks AWS for the version that is live, so it works with `serverless deploy` only.');
    }
    const versions = new Map();
    for (const name of this.functionNames) {
      const live = await this.liveVersion(name);
      if (live) versions.set(name, live);
      else this.log.notice(`Nothing of ${name} is live yet, so there is nothing to hold: this deploy goes live.`);
    }
    return versions;
  }

  newVersionLogicalId(functionName) {
    const functionId = this.provider.naming.getLambdaLogicalId(functionName);
    const [logicalId] = Object.entries(this.resources).find(
      ([, resource]) => resource.Type === 'AWS::Lambda::Version' && resource.Properties.FunctionName.Ref === functionId
    );
    return logicalId;
  }

  // A permission takes one account, and the framework's variables cannot loop over a list.
  addInvokers() {
    const { function: name, accounts } = this.config.invokers;
    const ids = String(accounts).split(',').map((id) => id.trim());
    for (const id of new Set(ids)) {
      if (!/^\d{12}$/.test(id)) throw this.fail(`MPARTICLE_ACCOUNTS: "${id}" is not an account id of 12 digits (several are joined by commas).`);
      this.resources[`${this.aliasLogicalId(name)}InvokableBy${id}`] = {
        Type: 'AWS::Lambda::Permission',
        Properties: { Action: 'lambda:InvokeFunction', FunctionName: { Ref: this.aliasLogicalId(name) }, Principal: id },
      };
    }
  }

  async alias(functionName) {
    const client = await this.lambda();
    try {
      return await client.send(new GetAliasCommand({ FunctionName: this.deployedName(functionName), Name: this.config.name }));
    } catch (error) {
      if (error.name === 'ResourceNotFoundException') return null;
      throw error;
    }
  }

  async liveVersion(functionName) {
    return (await this.alias(functionName))?.FunctionVersion;
  }

  // The last lines of `serverless deploy` and `serverless info`: what to give to mParticle, and what it now reaches.
  async showLive() {
    const aliases = await Promise.all(this.functionNames.map((name) => this.alias(name)));
    const live = this.functionNames.map((name, index) => `${name}: version ${aliases[index]?.FunctionVersion ?? 'none'}`);
    const invoked = aliases[this.functionNames.indexOf(this.config.invokers.function)];
    if (invoked) this.serverless.serviceOutputs.set('IngestAliasArn, to give to mParticle', invoked.AliasArn);
    this.serverless.serviceOutputs.set(`alias ${this.config.name}`, live);
  }

  async publishedVersions(functionName) {
    const pages = paginateListVersionsByFunction({ client: await this.lambda() }, { FunctionName: this.deployedName(functionName) });
    const versions = [];
    for await (const page of pages) versions.push(...page.Versions.map(({ Version }) => Version).filter(isVersion));
    return versions.sort((a, b) => a - b);
  }

  async promote() {
    const wanted = this.options.to ? readVersions(this.options.to, this.functionNames) : new Map();
    if (!wanted) throw this.fail(`--to is "${this.options.to}"; it is a version number, or one for each (${this.functionNames.join('=1,')}=1).`);
    // All are looked up before the first is moved: a number that one function does not have changes nothing.
    const moves = [];
    for (const name of this.functionNames) {
      const live = await this.liveVersion(name);
      if (!live) throw this.fail(`${this.deployedName(name)} has no alias ${this.config.name} yet: deploy first.`);
      const published = await this.publishedVersions(name);
      const to = wanted.get(name) || published.at(-1);
      if (!published.includes(to)) throw this.fail(`${this.deployedName(name)} has no version ${to}; it has ${published.join(', ')}.`);
      moves.push({ name, live, to });
    }
    for (const { name, live, to } of moves) {
      await (await this.lambda()).send(
        new UpdateAliasCommand({ FunctionName: this.deployedName(name), Name: this.config.name, FunctionVersion: to })
      );
      this.writeText(`${this.deployedName(name)} ${this.config.name}: ${live} -> ${to}`);
    }
  }
};
