// Structured lines by pino. Last barrier: fields whose name says that they could hold a path, a name or a key are not
// written, whatever a caller hands over.

import { pino, type DestinationStream } from 'pino';
import type { Log } from '../flow/ports/clock.ts';
import { createLines } from './log-lines.ts';

const forbidden = ['path', 'name', 'filename', 'value', 'key', 'password', 'uid'];

const standardOutput = 1;

export function createLog(
  level: string,
  destination: DestinationStream = createLines(standardOutput),
): Log {
  const options = {
    level,
    base: null,
    redact: { paths: forbidden, censor: '[left out]' },
    formatters: { level: (label: string) => ({ level: label }) },
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
  };
  return pino(options, destination);
}
