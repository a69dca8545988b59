// `profile preview`: what a profile would do with a file. The real processing runs, with a made-up subject and keys that
// are thrown away, and what it would seal goes nowhere.

import { randomBytes } from 'node:crypto';
import { basename } from 'node:path';
import { parseTag } from '../../core/dicom/dataset.ts';
import { keywordOf } from '../../core/dicom/dictionary.ts';
import type { Profile } from '../../core/deid/profile.ts';
import type { Crosswalk, Encryptor, ProcessLimits, ProcessOutcome } from '../ports/processing.ts';
import type { Zips } from '../ports/zip.ts';
import { processUpload } from '../process.ts';

export interface Preview {
  readonly file: string;
  /** `published as …`, `held: burned-in (…)`. */
  readonly outcome: string;
  /** What would change, by tag; elements that stay are not listed. */
  readonly actions: readonly {
    readonly tag: string;
    readonly keyword: string;
    readonly action: string;
    readonly count: number;
  }[];
  readonly leftOut: readonly { readonly name: string; readonly reason: string }[];
}

/** `scratch` and `output` are paths that do not exist yet; the caller removes them. */
export async function previewFile(request: {
  readonly file: string;
  readonly profile: Profile;
  readonly zips: Zips;
  readonly limits: ProcessLimits;
  readonly scratch: string;
  readonly output: string;
}): Promise<Preview> {
  const key = (): string => randomBytes(32).toString('hex');
  const outcome = await processUpload(
    {
      jobId: 'preview',
      projectId: 'preview',
      kind: 'deidentify',
      source: request.file,
      output: request.output,
      scratch: request.scratch,
      profile: JSON.stringify(request.profile),
      keys: { uid: key(), name: key(), identity: key() },
      uploadKey: 'preview',
      uploadName: basename(request.file),
      recipients: [],
      releases: [],
      limits: request.limits,
      closedByClient: true,
    },
    { encryptor: nowhere, crosswalk: madeUp, zips: request.zips },
    new AbortController().signal,
  );
  return { file: request.file, ...tell(outcome) };
}

const nowhere: Encryptor = {
  seal: async (body) => {
    const chunks = body[Symbol.asyncIterator]();
    const message = (async function* () {
      while (!((await chunks.next()).done ?? false)) yield* [];
    })();
    return Promise.resolve({ message, fingerprints: [] });
  },
};

const madeUp: Crosswalk = {
  resolve: (_projectId, _identity, { prefix }) =>
    Promise.resolve({
      kind: 'subject',
      subject: { code: `${prefix}PREVIEW`, dateOffsetDays: 7 },
    }),
};

function tell(outcome: ProcessOutcome): Omit<Preview, 'file'> {
  switch (outcome.kind) {
    case 'sealed':
      return {
        outcome: `would be published, e.g. as ${outcome.name}`,
        actions: Object.entries(outcome.report.actions).flatMap(([tag, kinds]) =>
          Object.entries(kinds).map(([action, count]) => ({
            tag,
            keyword: keywordOf(parseTag(tag)),
            action,
            count,
          })),
        ),
        leftOut: outcome.exclusions.map(({ name, reason }) => ({ name, reason })),
      };
    case 'held':
      return {
        outcome: `would be held: ${outcome.reason}${outcome.detail === undefined ? '' : ` (${outcome.detail})`}`,
        actions: [],
        leftOut: outcome.exclusions.map(({ name, reason }) => ({ name, reason })),
      };
    case 'partial':
      return { outcome: `is not whole: ${outcome.reason}`, actions: [], leftOut: [] };
    case 'passed':
      return { outcome: 'would be passed on as it is', actions: [], leftOut: [] };
  }
}
