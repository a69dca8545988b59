// The names of outputs, from the task and what is known of its patients (core/names). Any name that keeps a part of the
// client's own is searched for what identifies a patient, like the content.

import { findLeaksInName } from '../core/deid/leak-check.ts';
import type { LeakTerms } from '../core/deid/leak-terms.ts';
import {
  publishedDicomName,
  publishedOtherName,
  publishedZipName,
  zipDicomEntryName,
  zipOtherEntryName,
  type NameInput,
} from '../core/names.ts';
import type { ProcessContext } from './process-context.ts';
import type { CleanDicom } from './process-dicom.ts';
import { Held } from './process-hold.ts';

/** What the datasets of an upload say about their patients. */
export interface Known {
  readonly terms: LeakTerms;
  readonly subjectCodes: readonly string[];
}

const knownFrom = (file: CleanDicom): Known => ({
  terms: file.terms,
  subjectCodes: [file.subjectCode],
});

export const dicomName = (context: ProcessContext, file: CleanDicom): string => {
  const input = inputFor(context, context.task.uploadName, knownFrom(file));
  return checkedName(
    context,
    publishedDicomName(input, file.subjectCode, file.dataset),
    knownFrom(file),
  );
};

/** Of a zip: known only when all of its entries were seen. */
export const zipName = (context: ProcessContext, known: Known | undefined): string =>
  checkedName(context, publishedZipName(inputFor(context, context.task.uploadName, known)), known);

export const otherName = (context: ProcessContext): string =>
  publishedOtherName(inputFor(context, context.task.uploadName, undefined));

/** `path`: of the entry, with the names of the zips around it. */
export const dicomEntryName = (
  context: ProcessContext,
  path: string,
  file: CleanDicom,
  known: Known | undefined,
): string => {
  const input = inputFor(context, path, known ?? knownFrom(file));
  const name = zipDicomEntryName(input, path, file.subjectCode, file.dataset);
  return checkedName(context, name, knownFrom(file));
};

export const otherEntryName = (
  context: ProcessContext,
  path: string,
  known: Known | undefined,
): string => zipOtherEntryName(inputFor(context, path, known), path);

/**
 * Throws Held (`leak-check`). Also a name that we made is searched: its modality and numbers come from the dataset.
 */
export function checkedName(
  context: ProcessContext,
  name: string,
  known: Known | undefined,
): string {
  if (known === undefined || context.isReleased('leak-check')) return name;
  const madeBy = context.profile.names === 'code' ? 'us' : 'client';
  const expected = { subjectCodes: known.subjectCodes, madeBy } as const;
  const [leak] = findLeaksInName(name, known.terms, expected);
  if (leak !== undefined) throw new Held('leak-check', `name, ${leak.kind}`);
  return name;
}

function inputFor(
  context: ProcessContext,
  uploadName: string,
  known: Known | undefined,
): NameInput {
  const { profile, nameKey, task } = context;
  const input = { naming: profile.names, nameKey, uploadKey: task.uploadKey, uploadName };
  if (profile.names !== 'scrub' || known === undefined) return input;
  const expected = { subjectCodes: known.subjectCodes, madeBy: 'client' as const };
  return {
    ...input,
    identifies: (part) => findLeaksInName(part, known.terms, expected).length > 0,
  };
}
