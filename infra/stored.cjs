'use strict';

// References to secrets that a function reads itself: ssm:/name or secretsmanager:ARN, as in shared/stored.py.

const SSM = /^ssm:(\/[A-Za-z0-9_.\/-]+)$/;
const SECRET = /^secretsmanager:(arn:[a-z-]+:secretsmanager:[a-z0-9-]+:\d{12}:secret:[A-Za-z0-9\/_+=.@-]+)$/;

/** The statement that allows a role to read exactly this secret. Returns null for a text that is not a reference. */
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
