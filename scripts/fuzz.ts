// `npm run fuzz [-- dicom|zip|deid|sftp] [--seconds N] [--seed S]`: breaks files, or what SFTP clients send, at random until
// the time is over. Anything but a
// clean file or a typed refusal ends it with exit 1 and the seed that repeats the case. Each target runs in a thread of
// its own with little memory, so that an endless loop or a bomb is noticed too.

import { parseArgs } from 'node:util';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { fileURLToPath } from 'node:url';
import { startSftpFuzz } from '../test/support/fuzz-sftp.ts';
import {
  longestMs,
  seedsFor,
  targets as fileTargets,
  tryOne,
  type Failure,
} from '../test/support/fuzz.ts';

const targets = [...fileTargets, 'sftp'] as const;
type Target = (typeof targets)[number];

interface Order {
  readonly target: Target;
  readonly firstSeed: number;
  readonly seconds: number;
  readonly once: boolean;
}

type Message =
  | { readonly kind: 'trying'; readonly seed: number }
  | { readonly kind: 'done'; readonly count: number; readonly failure: Failure | undefined };

async function work({ target, firstSeed, seconds, once }: Order): Promise<void> {
  const tell = (message: Message): void => parentPort?.postMessage(message);
  const fuzz = await prepare(target);
  const until = once ? 0 : Date.now() + seconds * 1000;
  let count = 0;
  let failure: Failure | undefined;
  do {
    const seed = (firstSeed + count) >>> 0;
    tell({ kind: 'trying', seed });
    failure = await fuzz.tryIt(seed);
    count += 1;
  } while (failure === undefined && Date.now() < until);
  await fuzz.end();
  tell({ kind: 'done', count, failure });
}

async function prepare(target: Target): Promise<{
  tryIt(seed: number): Promise<Failure | undefined>;
  end(): Promise<void>;
}> {
  if (target === 'sftp') {
    const fuzz = await startSftpFuzz();
    return { tryIt: (seed) => fuzz.tryOne(seed), end: () => fuzz.close() };
  }
  const seeds = seedsFor(target, true);
  return { tryIt: (seed) => tryOne(target, seeds, seed), end: async () => undefined };
}

/** Resolves to what went wrong. */
async function fuzz(order: Order): Promise<Failure | undefined> {
  const worker = new Worker(fileURLToPath(import.meta.url), {
    workerData: order,
    resourceLimits: { maxOldGenerationSizeMb: 512 },
  });
  let seed = order.firstSeed;
  let last = Date.now();
  return new Promise((resolve) => {
    const end = (failure: Failure | undefined): void => {
      clearInterval(watch);
      void worker.terminate();
      resolve(failure);
    };
    const watch = setInterval(() => {
      if (Date.now() - last > 6 * longestMs) end({ seed, text: 'does not come to an end' });
    }, 1000);
    worker.on('error', (error: Error) => end({ seed, text: `the thread died: ${error.message}` }));
    worker.on('message', (message: Message) => {
      last = Date.now();
      if (message.kind === 'trying') ({ seed } = message);
      else {
        process.stdout.write(`${order.target}: ${message.count} tries\n`);
        end(message.failure);
      }
    });
  });
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { seconds: { type: 'string' }, seed: { type: 'string' } },
  });
  const wanted = targets.filter((one) => positionals.length === 0 || positionals.includes(one));
  const seconds = Number(values.seconds ?? '60') / Math.max(1, wanted.length);
  if (wanted.length === 0 || !(seconds > 0)) {
    process.stderr.write('usage: npm run fuzz [-- dicom|zip|deid|sftp] [--seconds N] [--seed S]\n');
    return 2;
  }
  const once = values.seed !== undefined && values.seconds === undefined;
  const firstSeed = Number(values.seed ?? Math.floor(Math.random() * 0xffffffff));
  for (const target of wanted) {
    const failure = await fuzz({ target, firstSeed, seconds, once });
    if (failure === undefined) continue;
    process.stderr.write(
      `${failure.text}\nagain: npm run fuzz -- ${target} --seed ${failure.seed}\n`,
    );
    return 1;
  }
  return 0;
}

if (isMainThread) process.exitCode = await main();
else await work(workerData as Order);
