'use strict';

// `provider.stage` of serverless.yml, which the deploy tool resolves before everything else. So this module runs first,
// however the tool was started. It checks the tool and the stage's name, and reads the stage's file (infra/stage.py), whose
// variables then count as the shell's. If something is wrong it says so in one line and ends, before anything was done.

const { execFileSync } = require('node:child_process');
const { existsSync, readFileSync } = require('node:fs');
const path = require('node:path');

const ROOT = path.join(__dirname, '..');
const TOOL = 'osls';
const DEFAULT_STAGE = 'dev';

function end(text) {
  process.stderr.write(`Spillway: ${text}\n`);
  process.exit(1);
}

/** The manifest of the package that loads this file: osls, or a `serverless` that somebody has installed globally. */
function toolOf(file) {
  for (let folder = path.dirname(file); folder !== path.dirname(folder); folder = path.dirname(folder)) {
    const manifest = path.join(folder, 'package.json');
    if (existsSync(manifest)) return JSON.parse(readFileSync(manifest, 'utf8'));
  }
  return {};
}

const tool = module.parent ? toolOf(module.parent.filename) : { name: TOOL };
if (tool.name !== TOOL) {
  end(`${tool.name} ${tool.version} cannot deploy this. Use the tool that this repository locks: make deploy, or npm ci and npx ${TOOL} deploy`);
}

/** The interpreter of .venv, or any Python in a fresh clone: infra/stage.py needs no library. */
function python() {
  const own = path.join(ROOT, '.venv', 'bin', 'python');
  return existsSync(own) ? own : process.env.PYTHON || 'python3';
}

function named(options) {
  if (options.stage) return options.stage;
  const words = process.argv.slice(2);
  const place = words.findIndex((word) => word === '--stage' || word === '-s');
  const joined = words.find((word) => word.startsWith('--stage='));
  if (joined) return joined.slice('--stage='.length);
  return (place >= 0 && words[place + 1]) || process.env.STAGE || DEFAULT_STAGE;
}

let entered;

function enter(stage) {
  let told;
  try {
    told = JSON.parse(execFileSync(python(), ['-I', path.join(__dirname, 'stage.py'), stage], { encoding: 'utf8', stdio: 'pipe' }));
  } catch (error) {
    if (error.code === 'ENOENT') end(`a stage's file is read by Python, and there is no ${python()} on the PATH`);
    end(String(error.stderr || error.message).trim().split('\n').pop());
  }
  Object.assign(process.env, told.added);
  // Processes that are started from here need not read the file again.
  Object.assign(process.env, { STAGE: stage, STAGE_FILE: '' });
  for (const name of ['DATA', 'LOG_FORMAT']) if (!process.env[name]) delete process.env[name];
  if (told.told) process.stderr.write(`${told.told}\n`);
  return { stage, file: told.file };
}

module.exports = ({ options = {} } = {}) => {
  entered ||= enter(named(options));
  return entered;
};
