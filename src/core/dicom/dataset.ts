// What the walker gives, the de-identification rewrites and the writer takes: a DICOM dataset as plain data
// (PS3.5 §7). Values stay the file's own bytes, in the file's own byte order, so that what is kept is kept bit for bit.

/** Group and element as one unsigned 32-bit number, 0xggggeeee. */
export type Tag = number;

/** PS3.5 §6.2. */
export type VR =
  // prettier-ignore
  | 'AE' | 'AS' | 'AT' | 'CS' | 'DA' | 'DS' | 'DT' | 'FD' | 'FL' | 'IS' | 'LO' | 'LT' | 'OB' | 'OD' | 'OF' | 'OL'
  | 'OV' | 'OW' | 'PN' | 'SH' | 'SL' | 'SQ' | 'SS' | 'ST' | 'SV' | 'TM' | 'UC' | 'UI' | 'UL' | 'UN' | 'UR' | 'US'
  | 'UT' | 'UV'; // prettier-ignore

/** How a dataset is written down (PS3.5 Annex A). Encapsulated syntaxes are explicit little endian. */
export interface Encoding {
  readonly explicitVR: boolean;
  readonly bigEndian: boolean;
}

/** An element with a value: the value field as it stands, padding included. Even length. */
export interface ValueElement {
  readonly kind: 'value';
  readonly tag: Tag;
  readonly vr: VR;
  readonly value: Uint8Array;
  /** Offset of the element's tag in the (inflated) input; -1 for an element that we made. */
  readonly offset: number;
}

/** A sequence (PS3.5 §7.5), also one that came as UN and was resolved (PS3.5 §6.2.2 note 2). */
export interface SequenceElement {
  readonly kind: 'sequence';
  readonly tag: Tag;
  readonly vr: 'SQ' | 'UN';
  readonly items: readonly DataSet[];
  /** How the items are encoded: UN of undefined length is implicit little endian whatever the file is. */
  readonly encoding: Encoding;
  readonly offset: number;
}

/** Encapsulated fragments that are not the top level's pixel data, e.g. of an icon (PS3.5 §A.4): first the offset table. */
export interface FragmentsElement {
  readonly kind: 'fragments';
  readonly tag: Tag;
  readonly vr: 'OB' | 'OW' | 'UN';
  readonly fragments: readonly Uint8Array[];
  readonly offset: number;
}

export type Element = ValueElement | SequenceElement | FragmentsElement;

/** Elements in strictly ascending order of their tags. */
export interface DataSet {
  readonly elements: readonly Element[];
}

/** The pixels at the top level (7FE0,0010 / 0008 / 0009): never held in memory, passed on as they come. */
export interface BulkHeader {
  readonly tag: Tag;
  readonly vr: VR;
  /** Bytes of the value, or undefined where it is encapsulated (undefined length). */
  readonly length: number | undefined;
  readonly offset: number;
}

/** What precedes the dataset in a file (PS3.10 §7.1). */
export interface FileHead {
  /** Was there a 128-byte preamble with DICM behind it? Without it the file was sniffed. */
  readonly hasPreamble: boolean;
  /** Group 0002, empty where the file has none. Always explicit little endian. */
  readonly meta: DataSet;
  readonly transferSyntaxUID: string;
  readonly encoding: Encoding;
  readonly deflated: boolean;
  readonly encapsulated: boolean;
}

/**
 * What a walker tells, in this order: `head`, `header`, then for each top-level bulk element `bulk-start`, `bulk` …,
 * `bulk-end`, then `trailer` (elements behind the last bulk; may be empty), then nothing more. A file without pixels gives
 * `head`, `header`, `trailer`.
 */
export type WalkerEvent =
  | { readonly kind: 'head'; readonly head: FileHead }
  /** All of the dataset before the first top-level bulk element. */
  | { readonly kind: 'header'; readonly dataset: DataSet }
  | { readonly kind: 'bulk-start'; readonly bulk: BulkHeader }
  /** Bytes of the value field. Encapsulated: with item headers and the sequence delimiter, as they stand. */
  | { readonly kind: 'bulk'; readonly bytes: Uint8Array }
  | { readonly kind: 'bulk-end' }
  | { readonly kind: 'trailer'; readonly dataset: DataSet };

export const tagOf = (group: number, element: number): Tag => ((group << 16) | element) >>> 0;
export const groupOf = (tag: Tag): number => tag >>> 16;
export const elementOf = (tag: Tag): number => tag & 0xffff;
export const isPrivate = (tag: Tag): boolean => (groupOf(tag) & 1) === 1;

/** `(0010,0020)`, as messages and logs show a tag. */
export const formatTag = (tag: Tag): string => {
  const hex = tag.toString(16).toUpperCase().padStart(8, '0');
  return `(${hex.slice(0, 4)},${hex.slice(4)})`;
};

/** The inverse of `formatTag`, for texts that it made. What people type goes through core/deid/selector. */
export const parseTag = (text: string): Tag =>
  Number.parseInt(text.replaceAll(/[(),]/g, ''), 16) >>> 0;
