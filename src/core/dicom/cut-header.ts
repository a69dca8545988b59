// A file that was cut between two elements breaks no rule of PS3.5, so it would pass for a whole one. What is left sometimes says
// that more was to come. Told only where no whole file looks so: images without their pixels do exist, and those that describe
// none at all, so a cut in front of that description or behind it stays unseen.

import type { DataSet, FileHead, Tag } from './dataset.ts';
import { find } from './encode.ts';

const rows: Tag = 0x00280010;
/** The last attribute that every description of pixels has (PS3.3 §C.7.6.3, type 1). */
const pixelRepresentation: Tag = 0x00280103;

/**
 * `header`: all of a file that has no top-level pixel data. An encapsulated transfer syntax is there for pixel data (PS3.5 §A.4);
 * and who began to describe pixels would have gone on.
 */
export function isCutBeforePixels(header: DataSet, head: FileHead): boolean {
  if (head.encapsulated) return true;
  const last = header.elements.at(-1)?.tag ?? 0;
  return last < pixelRepresentation && find(header, rows) !== undefined;
}
