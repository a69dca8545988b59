// `clubhouse serve`: the server of this instance, in the foreground, until SIGTERM or SIGINT.

import { resolveHome } from '../../config.ts';
import { codeOf, framesOf } from '../../core/errors.ts';
import type { Noun } from '../context.ts';

export const serveCommand: Noun = {
  builder: (y) => y.example('$0 serve', 'logs one JSON object a line on standard output'),
  handler: async (args) => {
    // What only a server needs is not loaded for every command.
    const { serve } = await import('../../app-serve.ts');
    const ending = endOfProcess();
    const server = await serve(resolveHome(args.home));
    const { host, port, hostKeys, log } = server;
    log.info({ host, port, hostKeys }, `listening on ${host}:${port}`);
    try {
      const signal = await ending;
      log.info({ signal }, 'shutting down');
    } catch (error) {
      log.error(
        { code: codeOf(error), at: framesOf(error) },
        'nobody caught an error; shutting down',
      );
      throw error;
    } finally {
      await server.stop();
    }
    log.info({}, 'stopped');
  },
};

/** The signal that asks us to end; rejects with what nobody caught, so that the server ends in order and with exit 1. */
function endOfProcess(): Promise<NodeJS.Signals> {
  return new Promise((resolve, reject) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      // A second Ctrl-C ends it at once: the next start puts everything right.
      process.once(signal, () => resolve(signal));
    }
    process.once('uncaughtException', reject);
  });
}
