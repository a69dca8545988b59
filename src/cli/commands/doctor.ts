// `clubhouse doctor`: is the instance sound?

import { AppError } from '../../core/errors.ts';
import { onApp, type Noun } from '../context.ts';
import { print, printJson } from '../output.ts';

export const doctorCommand: Noun = {
  builder: (y) =>
    y
      .option('json', { type: 'boolean', default: false, describe: 'For programs' })
      .example('$0 doctor', ''),
  handler: onApp(async (app, args) => {
    const findings = await app.examine();
    if (args['json'] === true) printJson(findings);
    else
      for (const { check, state, text } of findings) print(`${state.padEnd(7)} ${check}: ${text}`);
    const wrong = findings.filter((finding) => finding.state === 'error').map(({ check }) => check);
    if (wrong.length === 0) return;
    throw new AppError('CONFLICT', { detail: `doctor found trouble with ${wrong.join(', ')}` });
  }),
};
