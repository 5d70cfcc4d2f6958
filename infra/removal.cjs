'use strict';

// Serverless plugin: a removal says what it deletes and what it keeps, and asks for the stage's name first.
//
// The deployed template decides whether queues and table are deleted, whatever the stage's file says by now. If the template
// would delete them, the removal also needs DATA=delete, the setting with which that template was deployed.

const { createRequire } = require('node:module');
const readline = require('node:readline/promises');

// The SDK that osls itself ships, as in infra/alias.cjs.
const { CloudFormationClient, DescribeStacksCommand, GetTemplateCommand } = createRequire(require.resolve('osls/package.json'))(
  '@aws-sdk/client-cloudformation'
);

const DATA = { 'AWS::SQS::Queue': 'QueueName', 'AWS::DynamoDB::Table': 'TableName' };
const YES = new Set(['1', 'true', 'yes']);

module.exports = class Removal {
  constructor(serverless, options, { log }) {
    Object.assign(this, { serverless, options, log });
    this.provider = serverless.getProvider('aws');
    this.commands = { remove: { options: { yes: { usage: 'Do not ask for the name of the stage', type: 'boolean' } } } };
    this.hooks = { 'before:remove:remove': () => this.ask() };
  }

  get stage() {
    return this.provider.getStage();
  }

  get stackName() {
    return this.provider.naming.getStackName();
  }

  async place() {
    const account = await this.provider.getAccountId().then((id) => `account ${id}`, () => 'an account that AWS does not name');
    const profile = process.env.AWS_PROFILE;
    return `${this.provider.getRegion()}, ${account}${profile ? `, profile ${profile}` : ''}`;
  }

  fail(message) {
    return new this.serverless.classes.Error(message, 'SPILLWAY_REMOVAL');
  }

  async ask() {
    const { Resources } = await this.deployed();
    const data = Object.values(Resources).filter(({ Type }) => Type in DATA);
    const names = (kept) => data.filter((one) => (one.DeletionPolicy === 'Retain') === kept).map(({ Type, Properties }) => Properties[DATA[Type]]);
    const [keeps, deletes] = [names(true), names(false)];
    this.log.notice(`Deletes: the functions of ${this.stackName} with all their versions, its logs, alarms, dashboard and zips.`);
    if (deletes.length) this.log.notice(`Deletes with all that is in them: ${deletes.join(', ')}.`);
    if (keeps.length) this.log.notice(`Keeps, for you to delete by hand: ${keeps.join(', ')}.`);
    if (deletes.length && this.serverless.service.custom.data !== 'delete') {
      throw this.fail('The deployed stack would delete its data, and DATA is not delete: set DATA=delete if you want that, or deploy once more to keep the data.');
    }
    await this.confirm();
  }

  async deployed() {
    const client = new CloudFormationClient(await this.provider.getAwsSdkV3Config());
    try {
      // Asked first, because GetTemplate answers for a while after a stack was removed.
      await client.send(new DescribeStacksCommand({ StackName: this.stackName }));
      const { TemplateBody } = await client.send(new GetTemplateCommand({ StackName: this.stackName }));
      return JSON.parse(TemplateBody);
    } catch (error) {
      if (error instanceof this.serverless.classes.Error) throw error;
      if (error.name === 'ValidationError') throw this.fail(`There is no stack ${this.stackName} in ${await this.place()}: another STAGE, POD, AWS_REGION or AWS_PROFILE?`);
      throw this.fail(`AWS cannot be asked for the stack ${this.stackName} in ${this.provider.getRegion()} (${error.name}: ${String(error.message).split('\n')[0]}).`);
    }
  }

  async confirm() {
    if (this.options.yes || YES.has((process.env.YES || '').toLowerCase())) return;
    if (!process.stdin.isTTY) throw this.fail(`There is no terminal here to ask in: make remove STAGE=${this.stage} YES=1, or --yes.`);
    const asking = readline.createInterface({ input: process.stdin, output: process.stderr });
    try {
      const typed = await asking.question(`Type the name of the stage to remove it (${this.stage}): `);
      if (typed.trim() !== this.stage) throw this.fail(`Nothing is removed: that is not ${this.stage}.`);
    } finally {
      asking.close();
    }
  }
};
