// Our processing in one warm process, for `bench deid`: the real code of a worker thread, called one file after the other.

import { closeSync, openSync, writeSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { encryptor } from '../../../src/adapters/openpgp/encryptor.ts';
import { createWorkerPool } from '../../../src/adapters/worker-pool/pool.ts';
import { zips } from '../../../src/adapters/zip/zips.ts';
import { asSealed } from '../../../src/core/bytes.ts';
import { compileProfile } from '../../../src/core/deid/profile.ts';
import type {
  Crosswalk,
  Encryptor,
  ProcessOutcome,
  ProcessTask,
} from '../../../src/flow/ports/processing.ts';
import { createContext } from '../../../src/flow/process-context.ts';
import { startDicom } from '../../../src/flow/process-dicom.ts';
import { dicomName } from '../../../src/flow/process-names.ts';
import { bytesOf, openSource } from '../../../src/flow/process-source.ts';
import { processUpload } from '../../../src/flow/process.ts';
import { serveMeasured } from './measure.ts';

export interface WarmRequest {
  /** `bare`: read, de-identify, check, write, as other tools do; no digests. `plain`: without the encryption. `sealed`: all of it. `pool`: all of it, through a worker thread. */
  readonly how: 'bare' | 'plain' | 'sealed' | 'pool';
  readonly sources: readonly string[];
  readonly output: string;
  readonly recipients: readonly string[];
  /** YAML; `basic` unless told. */
  readonly profile?: string;
}

/** Lets the clean bytes through, so that what the encryption costs can be told apart. */
const notAtAll: Encryptor = {
  seal: (body, _recipients, signal) => {
    const message = async function* () {
      for await (const piece of body) {
        signal.throwIfAborted();
        yield asSealed(piece);
      }
    };
    return Promise.resolve({ message: message(), fingerprints: [] });
  },
};

const crosswalk: Crosswalk = {
  resolve: () =>
    Promise.resolve({ kind: 'subject', subject: { code: 'JI-7K3M9', dateOffsetDays: -35 } }),
};
/** Compiled once, as by the main thread, which gives a worker thread the same JSON for each file. */
const profiles = new Map<string, string>();
function profileOf(yaml = 'extends: basic\n'): string {
  let json = profiles.get(yaml);
  if (json === undefined) {
    json = JSON.stringify(compileProfile(yaml, 'bench', () => undefined));
    profiles.set(yaml, json);
  }
  return json;
}
const never = new AbortController().signal;
let pool: ReturnType<typeof createWorkerPool> | undefined;

function taskFor(request: WarmRequest, source: string): ProcessTask {
  const output = join(request.output, basename(source));
  return {
    jobId: basename(source),
    projectId: 'bench',
    kind: 'deidentify',
    source,
    output,
    scratch: `${output}.scratch`,
    profile: profileOf(request.profile),
    keys: { uid: 'a1'.repeat(32), name: 'b2'.repeat(32), identity: 'c3'.repeat(32) },
    uploadKey: `m:${basename(source)}`,
    uploadName: basename(source),
    recipients: request.recipients,
    releases: [],
    limits: {
      headerBytes: 64 << 20,
      inflatedBytes: 2 ** 36,
      inflateRatio: 200,
      zipEntries: 100_000,
      zipDepth: 3,
    },
    closedByClient: true,
  };
}

/** What `processUpload` does with a DICOM file, but for the digests of input and output and the encryption. */
async function processBare(task: ProcessTask): Promise<ProcessOutcome> {
  const context = await createContext(task, { encryptor: notAtAll, crosswalk, zips }, never);
  const source = openSource(task.source, never, 'no digest');
  const output = openSync(task.output, 'wx', 0o600);
  try {
    const file = await startDicom(
      bytesOf(source.chunks(), (piece) => source.release(piece)),
      context,
    );
    let sizeBytes = 0;
    for await (const piece of file.body) {
      for (let done = 0; done < piece.length;) done += writeSync(output, piece, done);
      sizeBytes += piece.length;
    }
    return {
      ...nothing,
      name: dicomName(context, file),
      sizeBytes,
      report: context.report.build(),
    };
  } finally {
    closeSync(output);
    source.close();
  }
}

const nothing = {
  kind: 'sealed',
  sha256: '',
  sourceSha256: '',
  recipientFingerprints: [],
  exclusions: [],
} as const;

async function processOne(how: WarmRequest['how'], task: ProcessTask): Promise<ProcessOutcome> {
  switch (how) {
    case 'bare':
      return processBare(task);
    case 'plain':
      return processUpload(task, { encryptor: notAtAll, crosswalk, zips }, never);
    case 'sealed':
      return processUpload(task, { encryptor, crosswalk, zips }, never);
    case 'pool':
      pool ??= createWorkerPool({ crosswalk, width: 1 });
      return pool.run(task, never);
  }
}

serveMeasured(async (message) => {
  const request = message as WarmRequest;
  for (const source of request.sources) {
    const task = taskFor(request, source);
    const outcome = await processOne(request.how, task);
    if (outcome.kind !== 'sealed') throw new Error(`not sealed: ${JSON.stringify(outcome)}`);
    // A long run would fill the memory disk with outputs that nobody reads.
    if (outcome.sizeBytes > 64 << 20) await rm(task.output);
  }
});
process.on('disconnect', () => process.exit());
