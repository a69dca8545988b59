// `profile preview`: what a profile would do with a file. The real processing runs, with a made-up subject and keys that
// are thrown away, and what it would seal goes nowhere. The rows hold a patient's values: they are for the terminal of
// the administrator who has the file anyway, and are neither logged nor kept.

import { randomBytes } from 'node:crypto';
import { basename } from 'node:path';
import { parseTag, type DataSet, type FileHead } from '../../core/dicom/dataset.ts';
import { keywordOf } from '../../core/dicom/dictionary.ts';
import { walk } from '../../core/dicom/walk.ts';
import { deidentify, type ActionCounts } from '../../core/deid/deidentify.ts';
import { createPolicy } from '../../core/deid/policy.ts';
import { preview, type PreviewRow } from '../../core/deid/preview.ts';
import type { Profile } from '../../core/deid/profile.ts';
import { AppError } from '../../core/errors.ts';
import type { Crosswalk, Encryptor, ProcessLimits, ProcessOutcome } from '../ports/processing.ts';
import type { Zips } from '../ports/zip.ts';
import { processUpload } from '../process.ts';
import { looksLike, peekBytes } from '../process-sniff.ts';
import { bytesOf, openSource } from '../process-source.ts';

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
  /** A DICOM file's header before and after, side by side; none for a zip and for what cannot be read. */
  readonly rows: readonly (PreviewRow & { readonly action: string })[];
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
  const isReadable = outcome.kind === 'sealed' || outcome.kind === 'held';
  const rows = isReadable ? await sideBySide(request) : [];
  return { file: request.file, ...tell(outcome), rows };
}

/** The header before and after; what cannot be read has no rows, and its outcome says why. */
async function sideBySide(request: {
  readonly file: string;
  readonly profile: Profile;
  readonly limits: ProcessLimits;
}): Promise<Preview['rows']> {
  const source = openSource(request.file, new AbortController().signal, 'no digest');
  const bytes = bytesOf(source.chunks(), (piece) => source.release(piece));
  try {
    if (looksLike(await bytes.peek(peekBytes)) !== 'dicom') return [];
    let head: FileHead | undefined;
    for await (const event of walk(bytes.chunks(), request.limits)) {
      if (event.kind === 'head') ({ head } = event);
      if (event.kind === 'header' && head !== undefined) {
        return rowsOf(event.dataset, head, request.profile);
      }
    }
    return [];
  } catch (error) {
    if (error instanceof AppError) return [];
    throw error;
  } finally {
    await bytes.close();
    source.close();
  }
}

function rowsOf(header: DataSet, head: FileHead, profile: Profile): Preview['rows'] {
  const policy = createPolicy(profile).forFile(header);
  const subject = { code: `${profile.subject.prefix}PREVIEW`, dateOffsetDays: offsetDays };
  const uidKey = randomBytes(32);
  const input = { part: 'header', dataset: header, head, header, policy, uidKey, subject } as const;
  const { dataset, actions } = deidentify(input);
  return preview(header, dataset).map((row) => ({ ...row, action: actionOf(row, actions) }));
}

/** What was done at this tag; what stands in a sequence that goes, goes with it. */
function actionOf(row: PreviewRow, actions: ActionCounts): string {
  if (row.change === 'kept') return 'keep';
  if (row.change === 'added') return 'add';
  const kinds = Object.keys(actions[row.tag.slice(-'(gggg,eeee)'.length)] ?? {});
  // counts are by tag: what else happened to it stands at another place
  if (row.change === 'removed') {
    return kinds.includes('clean') && !kinds.includes('remove') ? 'clean' : 'remove';
  }
  const changes = kinds.filter((kind) => kind !== 'remove');
  return changes.length > 0 ? changes.join(', ') : 'replace';
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

const offsetDays = 7;

const madeUp: Crosswalk = {
  resolve: (_projectId, _identity, { prefix }) =>
    Promise.resolve({
      kind: 'subject',
      subject: { code: `${prefix}PREVIEW`, dateOffsetDays: offsetDays },
    }),
};

function tell(outcome: ProcessOutcome): Omit<Preview, 'file' | 'rows'> {
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
