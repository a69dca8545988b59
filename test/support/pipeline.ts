// Runs uploads through the whole processing in this process, and lets what would be sealed be seen: for tests that look at
// what a receiver gets without a server, a database or encryption.

import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { zips } from '../../src/adapters/zip/zips.ts';
import { asSealed } from '../../src/core/bytes.ts';
import type {
  Crosswalk,
  Encryptor,
  ProcessOutcome,
  SubjectIdentity,
} from '../../src/flow/ports/processing.ts';
import { processUpload } from '../../src/flow/process.ts';
import { profileOf } from './deid.ts';

/** Hands the clean bytes on as they are. */
const open: Encryptor = {
  seal: async (body) => ({
    message: (async function* () {
      for await (const chunk of body) yield asSealed(chunk);
    })(),
    fingerprints: [],
  }),
};

export interface Passed {
  readonly outcome: ProcessOutcome;
  /** What the receiver decrypts; undefined where nothing is on the disk. */
  readonly clean: Buffer | undefined;
}

export interface Pipeline {
  send(bytes: Uint8Array, name: string): Promise<Passed>;
  /** Who was given which code and offset. */
  readonly subjects: ReadonlyMap<
    string,
    { readonly code: string; readonly dateOffsetDays: number }
  >;
  end(): void;
}

const limits = {
  headerBytes: 1 << 24,
  inflatedBytes: 1 << 30,
  inflateRatio: 1000,
  zipEntries: 1000,
  zipDepth: 3,
};

/** One project with the profile `yaml`. Each patient gets a code and an offset of their own, in whole weeks. */
export function makePipeline(yaml: string): Pipeline {
  const folder = mkdtempSync(join(tmpdir(), 'ch-pipeline-'));
  const profile = JSON.stringify(profileOf(yaml));
  const subjects = new Map<string, { code: string; dateOffsetDays: number }>();
  const crosswalk: Crosswalk = {
    resolve: async (_project, identity: SubjectIdentity) => {
      let subject = subjects.get(identity.key);
      if (subject === undefined) {
        const number = subjects.size + 1;
        subject = { code: `JI-${1000 + number}`, dateOffsetDays: -7 * number };
        subjects.set(identity.key, subject);
      }
      return { kind: 'subject', subject };
    },
  };
  let count = 0;
  return {
    subjects,
    send: async (bytes, name) => {
      const base = join(folder, String(count++));
      writeFileSync(`${base}.in`, bytes);
      const task = {
        jobId: 'job',
        projectId: 'project',
        kind: 'deidentify',
        source: `${base}.in`,
        output: `${base}.out`,
        scratch: `${base}.scratch`,
        profile,
        keys: { uid: 'a1'.repeat(32), name: 'b2'.repeat(32), identity: 'c3'.repeat(32) },
        uploadKey: `member:${name}`,
        uploadName: name,
        recipients: [],
        releases: [],
        limits,
        closedByClient: true,
      } as const;
      const deps = { encryptor: open, crosswalk, zips };
      const outcome = await processUpload(task, deps, new AbortController().signal);
      // looked for whatever is said: nothing may be there but what was sealed
      const clean = existsSync(task.output) ? readFileSync(task.output) : undefined;
      rmSync(task.source);
      rmSync(task.output, { force: true });
      return { outcome, clean };
    },
    end: () => rmSync(folder, { recursive: true, force: true }),
  };
}
