// The names of outputs, from the task and what is known of its patients (core/names). Any name that keeps a part of the
// client's own is searched for what identifies a patient, like the content.

import { findLeaksInName, type Leak } from '../core/deid/leak-check.ts';
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

/** What the datasets of an upload say about their patients: what of it stands in a name. */
export interface Known {
  find(name: string): readonly Leak[];
}

function knownFrom(context: ProcessContext, file: CleanDicom): Known {
  const madeBy = context.profile.names === 'code' ? 'us' : 'client';
  const how = { subjectCodes: [file.subjectCode], madeBy } as const;
  return { find: (name) => findLeaksInName(name, file.terms, how) };
}

export const dicomName = (context: ProcessContext, file: CleanDicom): string => {
  const input = inputFor(context, context.task.uploadName, knownFrom(context, file));
  return checkedName(
    context,
    publishedDicomName(input, file.subjectCode, file.dataset),
    knownFrom(context, file),
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
  const input = inputFor(context, path, known ?? knownFrom(context, file));
  const name = zipDicomEntryName(input, path, file.subjectCode, file.dataset);
  return checkedName(context, name, knownFrom(context, file));
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
  const [leak] = known.find(name);
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
  return { ...input, identifies: (part) => known.find(part).length > 0 };
}
