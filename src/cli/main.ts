#!/usr/bin/env node
// The process of the command line. The only place where the exit code is set.

import { runCommandLine } from './run.ts';

// What Clubhouse makes is for its own account alone, whatever library makes it.
process.umask(0o077);
// `clubhouse … | head` closes the pipe early: that is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit(0);
});
process.exitCode = await runCommandLine(process.argv.slice(2));
