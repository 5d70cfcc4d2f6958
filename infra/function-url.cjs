'use strict';

// Serverless plugin: ingest's Function URL, for mParticle's HTTP integration. It is in the template only if
// TOKEN_SOURCE says where its tokens are kept; the tokens themselves never are. docs/adr/0025 has the reasons.

const { createRequire } = require('node:module');
const { readPermission } = require('./stored.cjs');

// The SDK that osls itself ships, as in infra/alias.cjs.
const { GetFunctionUrlConfigCommand, LambdaClient } = createRequire(require.resolve('osls/package.json'))('@aws-sdk/client-lambda');

const LOOPBACK = new Set(['127.0.0.1', 'localhost', '[::1]']);

/** A URL that can be called: no host name leads to the embedded AWS, so its own address takes the host's place. */
function callable(url) {
  const endpoint = process.env.AWS_ENDPOINT_URL;
  if (!endpoint || !LOOPBACK.has(new URL(endpoint).hostname)) return url;
  return `${endpoint.replace(/\/$/, '')}/_aws/lambda-url/${new URL(url).hostname.split('.')[0]}/`;
}

module.exports = class FunctionUrl {
  constructor(serverless) {
    this.serverless = serverless;
    this.provider = serverless.getProvider('aws');
    // Runs after infra/alias.cjs, which is before it in serverless.yml, because the URL belongs to the alias.
    this.hooks = {
      'after:package:compileFunctions': () => this.add(),
      // Here, and not above, because osls exports every output that it finds earlier.
      'after:aws:package:finalize:mergeCustomProviderResources': () => this.addOutput(),
      'after:aws:info:displayFunctions': () => this.showUrl(),
    };
  }

  get tokenSource() {
    return String(this.serverless.service.custom.functionUrl.tokenSource || '');
  }

  get aliasName() {
    return this.serverless.service.custom.alias.name;
  }

  get template() {
    return this.serverless.service.provider.compiledCloudFormationTemplate;
  }

  add() {
    if (!this.tokenSource) return;
    const statement = readPermission(this.tokenSource);
    if (!statement) {
      throw new this.serverless.classes.Error(
        'TOKEN_SOURCE must say where the tokens are kept, as ssm:/name/of/a/parameter or secretsmanager:ARN of a secret. It must not be the token itself.',
        'SPILLWAY_FUNCTION_URL'
      );
    }
    const toAlias = { Ref: 'IngestProductionAlias' };
    const everybody = { FunctionName: toAlias, Principal: '*' };
    Object.assign(this.template.Resources, {
      IngestTokenPolicy: {
        Type: 'AWS::IAM::Policy',
        Properties: {
          PolicyName: 'token',
          Roles: [{ Ref: 'IngestRole' }],
          PolicyDocument: { Version: '2012-10-17', Statement: [statement] },
        },
      },
      IngestUrl: {
        Type: 'AWS::Lambda::Url',
        // The alias is given by name and not by reference, so CloudFormation does not see by itself that it must exist first.
        DependsOn: ['IngestProductionAlias', 'IngestTokenPolicy'],
        Properties: { TargetFunctionArn: { Ref: 'IngestLambdaFunction' }, Qualifier: this.aliasName, AuthType: 'NONE' },
      },
      // Lambda wants both permissions. The second is limited to calls by the URL; without that limit anybody could invoke the
      // alias.
      IngestUrlCallableByAll: {
        Type: 'AWS::Lambda::Permission',
        Properties: { ...everybody, Action: 'lambda:InvokeFunctionUrl', FunctionUrlAuthType: 'NONE' },
      },
      IngestUrlInvocableByAll: {
        Type: 'AWS::Lambda::Permission',
        Properties: { ...everybody, Action: 'lambda:InvokeFunction', InvokedViaFunctionUrl: true },
      },
    });
  }

  // Among the last lines of `serverless deploy` and `serverless info`: the URL to give to mParticle.
  async showUrl() {
    if (!this.tokenSource) return;
    const client = new LambdaClient(await this.provider.getAwsSdkV3Config());
    const { name } = this.serverless.service.getFunction('ingest');
    try {
      const found = await client.send(new GetFunctionUrlConfigCommand({ FunctionName: name, Qualifier: this.aliasName }));
      this.serverless.serviceOutputs.set('IngestUrl, to give to mParticle for HTTP', callable(found.FunctionUrl));
    } catch (error) {
      if (error.name !== 'ResourceNotFoundException') throw error; // `serverless info` before the first deploy of it
    }
  }

  addOutput() {
    if (!this.template.Resources.IngestUrl) return;
    this.template.Outputs.IngestUrl = {
      Description: 'The URL to give to mParticle, for its HTTP integration',
      Value: { 'Fn::GetAtt': ['IngestUrl', 'FunctionUrl'] },
    };
  }
};
