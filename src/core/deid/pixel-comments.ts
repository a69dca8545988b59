// Texts inside compressed pixels: devices and programs write a line about themselves there, some write the patient's name.
// The pixels go on bit for bit, so nothing can be taken out of them: what is not the line of a known encoder holds the file.

import type { ImageComment } from '../dicom/image-comments.ts';
import { latin1 } from '../dicom/latin1.ts';
import { findLeaksInName } from './leak-check.ts';
import type { LeakTerms } from './leak-terms.ts';

export type CommentKind =
  /** A known encoder's line, or numbers. */
  | 'harmless'
  /** Nobody knows what it says. */
  | 'unknown'
  /** It names the patient of this file, or an ID, a date or a UID of it. */
  | 'identifying';

/** `terms`: what the original file says about its patient. */
export function judgeComment(comment: ImageComment, terms: LeakTerms): CommentKind {
  if (isStructure(comment)) return 'harmless';
  const readings = charsets.map((label) => new TextDecoder(label).decode(comment.bytes));
  const how = { subjectCodes: [], madeBy: 'client' } as const;
  if (readings.some((text) => findLeaksInName(text, terms, how).length > 0)) return 'identifying';
  if (isColourProfile(comment)) return 'harmless';
  const [text = ''] = readings;
  const said = text.replaceAll(/[^ -~\x80-\u{10ffff}]+/gu, '\n').trim();
  // Where no image is: a text is letters, and pixels are anything; encoders leave four bytes of their buffer behind an image.
  if (/^(?:in front of|behind) the image$/.test(comment.where)) {
    return comment.bytes.length > 5 && isLetters(comment) ? 'unknown' : 'harmless';
  }
  if (comment.where === 'box pclr') return 'harmless'; // a palette
  if (comment.where.startsWith('box')) return 'unknown';
  const hasText = /[ -~]{4}/.test(said) || /[^\x00-\x7f]{2}/.test(said);
  return !hasText || encoders.some((pattern) => pattern.test(said)) ? 'harmless' : 'unknown';
}

function isLetters({ bytes }: ImageComment): boolean {
  const start = latin1(bytes.subarray(0, 64)).replace(/[\0 ]+$/, '');
  return start.replaceAll(/[^ -~]/g, '').length > 0.75 * start.length;
}

const charsets = ['windows-1252', 'utf-8', 'gb18030'] as const;

const startsWith = ({ bytes }: ImageComment, text: string): boolean =>
  latin1(bytes.subarray(0, text.length)) === text;

/** Segments with a fixed layout of numbers: JFIF without a picture of its own, Adobe's, SPIFF's, HP's colour transform. */
function isStructure(comment: ImageComment): boolean {
  const { where, bytes } = comment;
  switch (where) {
    case 'JPEG APP0':
      return startsWith(comment, 'JFIF\0') && bytes.length === 14;
    case 'JPEG APP14':
      return startsWith(comment, 'Adobe') && bytes.length === 12;
    case 'JPEG APP8':
      if (startsWith(comment, 'SPIFF\0')) return bytes.length === 30;
      return startsWith(comment, 'mrfx') && bytes.length === 5;
    default:
      return false;
  }
}

/** ISO 15076: tables of numbers and the profile's own name. */
const isColourProfile = (comment: ImageComment): boolean =>
  comment.where === 'box colr' ||
  (comment.where === 'JPEG APP2' && startsWith(comment, 'ICC_PROFILE\0'));

/** The whole of what encoders write: a version number has room for no ID. */
const version = String.raw`v?\d{1,2}(?:[.]\d{1,3}){0,4}[a-z]?`;
const encoders: readonly RegExp[] = [
  `Created by (?:GDCM/)?OpenJPEG version ${version}`,
  `Creator: JasPer Version ${version}`,
  `Kakadu-${version}`,
  String.raw`Kdu-Layer-Info: log_2\{Delta-D\([\w-]{1,16}\)/Delta-L\(bytes\)\}, L\(bytes\)[\s\d.,eE+-]{0,2000}`,
  `Grok [Vv]ersion ${version}`,
  `LEAD Technologies Inc[.] ${version.replace('v?', '[vV]?')}`,
  String.raw`CREATOR: gd-jpeg v[\d.]{1,5} \(using IJG JPEG v\d{2,3}\), (?:default quality|quality = \d{1,3})`,
  `Lavc${version}`,
  String.raw`Intel\(R\) JPEG Library, version ${version}`,
  String.raw`JPEG Encoder Copyright 1998, James R[.] Weeks and BioElectroMech[.]`,
].map((line) => new RegExp(`^${line}$`));
