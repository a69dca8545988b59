// A process of its own that works on two uploads, one after the other, in a worker thread, and says how far the memory grew from
// the first to the second: the high-water mark of a test's own process has seen other tests. Arguments: the tasks as JSON.

import { readFileSync } from 'node:fs';
import { createWorkerPool } from '../../src/adapters/worker-pool/pool.ts';
import type { Crosswalk, ProcessTask } from '../../src/flow/ports/processing.ts';

const crosswalk: Crosswalk = {
  resolve: () => Promise.resolve({ kind: 'subject', subject: { code: 'JI-1', dateOffsetDays: 7 } }),
};

// Where there is no /proc, samples tell.
let highest = 0;
setInterval(() => (highest = Math.max(highest, process.memoryUsage.rss())), 20).unref();
const peakBytes = (): number => {
  try {
    const status = readFileSync('/proc/self/status', 'utf8');
    return Number(/VmHWM:\s+(\d+)/.exec(status)?.[1]) * 1024;
  } catch {
    return Math.max(highest, process.memoryUsage.rss());
  }
};

const pool = createWorkerPool({ crosswalk, width: 1 });
const [first, second] = process.argv
  .slice(2)
  .map((task) => () => pool.run(JSON.parse(task) as ProcessTask, new AbortController().signal));
await first?.();
const idle = peakBytes();
const outcome = await second?.();
const sizeBytes = outcome?.kind === 'sealed' ? outcome.sizeBytes : 0;
const growth = (peakBytes() - idle) / 2 ** 20;
process.stdout.write(JSON.stringify({ kind: outcome?.kind, sizeBytes, growth }));
await pool.stop();
