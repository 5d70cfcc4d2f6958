'use strict';

// Serverless plugin: the alias `production` of both functions, with mParticle's permissions and the queue's mapping on it.
//
// mParticle invokes an alias and the queue's mapping feeds an alias, so a deploy publishes a version and decides
// separately whether that version goes live (custom.alias.mode). `spillway promote` decides later, both functions together.
// Published plugins for this need the AWS SDK v2, which osls 4 removed; docs/adr/0003 says more.

const { execFile } = require('node:child_process');
const { createRequire } = require('node:module');
const path = require('node:path');

// The SDK that osls itself ships: a second one in package.json would be a second version to keep.
const sdk = createRequire(require.resolve('osls/package.json'));
const { GetAliasCommand, GetEventSourceMappingCommand, LambdaClient, UpdateAliasCommand } = sdk('@aws-sdk/client-lambda');
const { CloudFormationClient, DescribeStackResourceCommand } = sdk('@aws-sdk/client-cloudformation');

const isVersion = (text) => /^[1-9]\d*$/.test(text);

// The logical id that osls gives to the queue's mapping.
const MAPPING = 'WorkerEventSourceMappingSQSQueue';

// The states of a mapping that is paused or about to be.
const PAUSED = new Set(['Disabled', 'Disabling']);

// A change of the mapping takes tens of seconds.
const SETTLES_S = 60;
const LOOK_EVERY_S = 2;

/** `7` means version 7 of every function, `ingest=7,worker=9` names a version for each. Returns null for anything else. */
function readVersions(text, functionNames) {
  if (isVersion(text)) return new Map(functionNames.map((name) => [name, text]));
  const pairs = text.split(',').map((pair) => pair.trim().split('='));
  const versions = new Map(pairs);
  const complete = versions.size === functionNames.length && functionNames.every((name) => isVersion(versions.get(name) || ''));
  return complete ? versions : null;
}

module.exports = class ProductionAlias {
  constructor(serverless, options, { log }) {
    Object.assign(this, { serverless, log, chosen: new Map() });
    this.provider = serverless.getProvider('aws');
    this.hooks = {
      'before:deploy:deploy': () => this.requirePartner(),
      // After all checks that refuse a deploy without asking AWS for anything.
      'before:aws:deploy:deploy:createStack': () => this.lookBefore(),
      'after:deploy:deploy': () => this.noteDeploy(),
      // At this hook the template has the versions, and osls compiles the events (the queue's mapping) next: it points them at
      // the function's `targetAlias`.
      'after:package:compileFunctions': () => this.addAliases(),
      'after:package:compileEvents': () => this.keepIntake(),
      'after:aws:info:displayFunctions': () => this.showLive(),
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

  async lookBefore() {
    this.before = await this.aliases();
  }

  // A worker without a URL to call would receive, fail and return each message until somebody notices.
  requirePartner() {
    const { PARTNER, WEBHOOK_URL } = this.serverless.service.custom.partner || {};
    if (PARTNER === 'partners.webhook' && !WEBHOOK_URL) {
      throw this.fail(`Where do deliveries go? Set WEBHOOK_URL in .env.${this.provider.getStage()} (WEBHOOK_URL=https://...), or PARTNER to a partner of your own.`);
    }
  }

  async cloudFormation() {
    return new CloudFormationClient(await this.provider.getAwsSdkV3Config());
  }

  // The template would enable the mapping, but an operator's pause must outlast a deploy. If a pause begins or ends during the
  // deploy, the worker or its tick sets the mapping right.
  async keepIntake() {
    if (this.serverless.processedInput.commands[0] !== 'deploy') return;
    try {
      const id = await this.mappingId();
      if (id && PAUSED.has(await this.mappingState(id))) this.resources[MAPPING].Properties.Enabled = false;
    } catch (error) {
      if (error instanceof this.serverless.classes.Error) throw error;
      throw this.fail(`AWS cannot be asked whether the intake is paused (${error.name}: ${String(error.message).split('\n')[0]}).`);
    }
  }

  async mappingId() {
    const asked = { StackName: this.provider.naming.getStackName(), LogicalResourceId: MAPPING };
    try {
      return (await (await this.cloudFormation()).send(new DescribeStackResourceCommand(asked))).StackResourceDetail.PhysicalResourceId;
    } catch (error) {
      if (error.name === 'ValidationError') return null; // the first deploy
      throw error;
    }
  }

  // The mapping's state, once no change of it is under way, or SETTLES_S later.
  async mappingState(id) {
    const client = await this.lambda();
    for (let waited = 0; ; waited += LOOK_EVERY_S) {
      try {
        const { State } = await client.send(new GetEventSourceMappingCommand({ UUID: id }));
        if (State === 'Enabled' || State === 'Disabled' || waited >= SETTLES_S) return State;
      } catch (error) {
        if (error.name === 'ResourceNotFoundException') return null;
        throw error;
      }
      await this.sleep(LOOK_EVERY_S);
    }
  }

  sleep(seconds) {
    return new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
  }

  async addAliases() {
    const versions = await this.chooseVersions();
    this.chosen = versions;
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
    // The worker goes live first: a new worker reads what the ingest before it writes, but an old worker may not read what a
    // new ingest writes.
    this.resources[this.aliasLogicalId('ingest')].DependsOn = this.aliasLogicalId('worker');
    this.addInvokers();
  }

  // The version that is to be live, for each function; a function that is not in the map gets the version that this deploy
  // publishes.
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

  // The permissions are written here because each names one account, and the framework's variables cannot loop over a list.
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
      if (error instanceof this.serverless.classes.Error) throw error;
      throw this.fail(`AWS cannot be asked what is live (${error.name}: ${String(error.message).split('\n')[0]}).`);
    }
  }

  async liveVersion(functionName) {
    return (await this.alias(functionName))?.FunctionVersion;
  }

  // The last lines of `serverless deploy` and `serverless info`: the ARN to give to mParticle, and the versions that are live.
  async showLive() {
    const aliases = await this.aliases();
    const live = this.functionNames.map((name, index) => `${name}: version ${aliases[index]?.FunctionVersion ?? 'none'}`);
    const invoked = aliases[this.functionNames.indexOf(this.config.invokers.function)];
    if (invoked) this.serverless.serviceOutputs.set('IngestAliasArn, to give to mParticle', invoked.AliasArn);
    this.serverless.serviceOutputs.set(`alias ${this.config.name}`, live);
  }

  aliases() {
    return Promise.all(this.functionNames.map((name) => this.alias(name)));
  }

  // CloudFormation compares the template with what it set last, and does not know of a promote since then: if the template has
  // the version that it set last, it does nothing. So the alias is set here.
  async settleChosen() {
    for (const [name, version] of this.chosen) {
      if ((await this.liveVersion(name)) === version) continue;
      await (await this.lambda()).send(
        new UpdateAliasCommand({ FunctionName: this.deployedName(name), Name: this.config.name, FunctionVersion: version })
      );
    }
  }

  // Write the note of the versions to which a rollback goes back. CloudFormation does not know this note, which a promote
  // writes, too, and may have dropped it from an alias that it changed. So the note that was read before the deploy is
  // continued.
  async noteDeploy() {
    const pair = (aliases) => (aliases.every(Boolean) ? aliases.map((alias) => Number(alias.FunctionVersion)) : null);
    await this.settleChosen();
    const after = await this.aliases();
    const [was, live] = [pair(this.before), pair(after)];
    if (!live) return;
    const notes = this.before.map((alias) => alias?.Description || '');
    const note = `${live}` === `${was}` ? null : await this.noteOf({ live, was, notes });
    for (const [index, name] of this.functionNames.entries()) {
      const text = note ?? this.before[index].Description ?? '';
      if (after[index].Description === text) continue;
      await (await this.lambda()).send(
        new UpdateAliasCommand({ FunctionName: this.deployedName(name), Name: this.config.name, Description: text })
      );
    }
  }

  // The new note of both aliases; ops/releases/note.py has its format, and writes it for a promote, too.
  noteOf(asked) {
    const folder = this.serverless.serviceDir;
    return new Promise((resolve, reject) => {
      const process = execFile(path.join(folder, '.venv', 'bin', 'python'), ['-m', 'ops.releases.after_deploy'], { cwd: folder, timeout: 60_000 }, (error, stdout, stderr) => {
        if (!error) return resolve(stdout.trim());
        const said = stderr.trim().split('\n').pop() || error.message;
        return reject(this.fail(`The deploy is live, but the versions before it could not be noted for a rollback: ${said}`));
      });
      process.stdin.on('error', () => {}); // it ended before it read: its answer says why
      process.stdin.end(JSON.stringify(asked));
    });
  }
};
