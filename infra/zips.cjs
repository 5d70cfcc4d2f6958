'use strict';

// Serverless plugin: the zips are built from the checkout just before they are packaged, whichever command packages them. The
// build leaves a zip that would come out the same, so this costs a second.
//
// It also notes on the functions their commit and the versions of queue messages that they write and read (release.json):
// `spillway versions` shows the note, and a promote or rollback that would strand messages is refused because of it. So a new
// commit is a new version, whatever it changed. Commands that package nothing (info, remove, logs) need neither build nor zips.

const { execFile } = require('node:child_process');
const { existsSync, readFileSync } = require('node:fs');
const path = require('node:path');

const TARGETS = ['aws', 'local'];

module.exports = class FreshZips {
  constructor(serverless, options, { log }) {
    Object.assign(this, { serverless, log });
    this.hooks = {
      'before:package:cleanup': () => this.build(),
      'before:deploy:function:initialize': () => this.refuseFunction('deploy'),
      'before:rollback:function:rollback': () => this.refuseFunction('rollback'),
    };
  }

  get target() {
    return process.env.PKG_TARGET || TARGETS[0];
  }

  fail(message) {
    return new this.serverless.classes.Error(message, 'SPILLWAY_ZIPS');
  }

  refuseFunction(verb) {
    throw this.fail(`\`${verb} function\` would change the code but not the alias, which mParticle and the queue use: make ${verb}.`);
  }

  async build() {
    if (!TARGETS.includes(this.target)) throw this.fail(`PKG_TARGET is "${this.target}"; it is ${TARGETS.join(' or ')}.`);
    const folder = this.serverless.serviceDir;
    const python = path.join(folder, '.venv', 'bin', 'python');
    if (!existsSync(python)) throw this.fail('The zips cannot be built: there is no .venv here (make .venv makes it, and make deploy).');
    const { code, stdout, stderr } = await new Promise((resolve) => {
      execFile(python, ['-m', 'infra.build', this.target], { cwd: folder }, (error, out, err) =>
        resolve({ code: error ? error.code ?? error.signal : 0, stdout: out, stderr: err })
      );
    });
    if (code !== 0) throw this.fail(`The zips cannot be built:\n${stderr.trim() || `the build ended with ${code}`}`);
    this.log.info(stdout.trim());
    this.note(JSON.parse(readFileSync(path.join(folder, 'build', this.target, 'release.json'), 'utf8')));
  }

  note(release) {
    const { ingest, worker } = this.serverless.service.functions;
    Object.assign(ingest.environment, { COMMIT: release.commit, WRITES_MESSAGES: release.writes_messages });
    Object.assign(worker.environment, { COMMIT: release.commit, READS_MESSAGES: release.reads_messages });
  }
};
