// One file through the whole processing, in a process of its own, so that its memory can be told. The encryption is left out:
// what comes out is the clean file, which other programs can look into.

import { asSealed } from '../../src/core/bytes.ts';
import { zips } from '../../src/adapters/zip/zips.ts';
import { processUpload, type ProcessDeps } from '../../src/flow/process.ts';
import { profileOf } from '../../test/support/deid.ts';

export interface LargeOrder {
  readonly source: string;
  readonly output: string;
  readonly scratch: string;
}

export interface LargeResult {
  readonly outcome: string;
  readonly files: number;
  readonly cpuSeconds: number;
  readonly idleBytes: number;
  readonly peakBytes: number;
}

const deps: ProcessDeps = {
  zips,
  crosswalk: {
    resolve: async () => ({ kind: 'subject', subject: { code: 'JI-LARGE', dateOffsetDays: 21 } }),
  },
  encryptor: {
    seal: async (body) => ({
      message: (async function* () {
        for await (const chunk of body) yield asSealed(chunk);
      })(),
      fingerprints: [],
    }),
  },
};

async function work({ source, output, scratch }: LargeOrder): Promise<LargeResult> {
  const idleBytes = process.memoryUsage.rss();
  let peakBytes = idleBytes;
  const watch = setInterval(() => {
    peakBytes = Math.max(peakBytes, process.memoryUsage.rss());
  }, 50);
  const start = process.cpuUsage();
  const task = {
    jobId: 'large',
    projectId: 'large',
    kind: 'deidentify',
    ...{ source, output, scratch },
    profile: JSON.stringify(profileOf('extends: basic\notherFiles: encrypt\n')),
    keys: { uid: 'a1'.repeat(32), name: 'b2'.repeat(32), identity: 'c3'.repeat(32) },
    uploadKey: 'm:large',
    uploadName: 'large',
    recipients: [],
    releases: [],
    limits: {
      headerBytes: 64 * 2 ** 20,
      inflatedBytes: 200e9,
      inflateRatio: 1000,
      zipEntries: 1_000_000,
      zipDepth: 3,
    },
    closedByClient: true,
  } as const;
  const result = await processUpload(task, deps, new AbortController().signal);
  clearInterval(watch);
  const { user, system } = process.cpuUsage(start);
  const files = result.kind === 'sealed' ? result.report.files : 0;
  const outcome = result.kind === 'held' ? `held: ${result.reason}` : result.kind;
  peakBytes = Math.max(peakBytes, process.resourceUsage().maxRSS * 1024);
  return { outcome, files, cpuSeconds: (user + system) / 1e6, idleBytes, peakBytes };
}

process.once('message', (order) => {
  void work(order as LargeOrder).then(
    (result) => process.send?.(result),
    (error: unknown) => {
      process.stderr.write(`${error instanceof Error ? (error.stack ?? '') : 'failed'}\n`);
      process.exitCode = 1;
      process.disconnect();
    },
  );
});
