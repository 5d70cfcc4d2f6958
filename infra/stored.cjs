'use strict';

// Where a secret is kept that a function reads itself: ssm:/name or secretsmanager:ARN, as shared/stored.py has it.

const SSM = /^ssm:(\/[A-Za-z0-9_.\/-]+)$/;
const SECRET = /^secretsmanager:(arn:[a-z-]+:secretsmanager:[a-z0-9-]+:\d{12}:secret:[A-Za-z0-9\/_+=.@-]+)$/;

/** What a role has to be allowed to read it: exactly this one thing. Returns null for what is no reference. */
function readPermission(source) {
  const [, parameter] = SSM.exec(source) || [];
  if (parameter) {
    const arn = `arn:\${AWS::Partition}:ssm:\${AWS::Region}:\${AWS::AccountId}:parameter${parameter}`;
    return { Effect: 'Allow', Action: 'ssm:GetParameter', Resource: { 'Fn::Sub': arn } };
  }
  const [, secret] = SECRET.exec(source) || [];
  return secret ? { Effect: 'Allow', Action: 'secretsmanager:GetSecretValue', Resource: secret } : null;
}

module.exports = { readPermission };
