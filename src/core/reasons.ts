// Why a file or an entry of a zip was held, left out or not yet taken: a closed list, with the sentence that the
// sender reads in the receipt and the administrator in `held list`. SPEC 5 names the four that can be released.

interface ReasonFacts {
  /** May an administrator release it for this content (SPEC 5, `held release`)? */
  readonly releasable: boolean;
  /** For the sender: what happened and what to do. No value of a patient, no path. */
  readonly text: string;
}

export const holdReasons = {
  incomplete: { releasable: false, text: 'The upload was never finished. Send the file again.' },
  'not-parseable': {
    releasable: false,
    text: 'The DICOM file could not be read to its last byte, so nothing of it was passed on. Export it again.',
  },
  unsupported: {
    releasable: false,
    text: 'The transfer syntax or character set is not known to Clubhouse. Export it in a standard one.',
  },
  'too-large': {
    releasable: false,
    text: 'The header of the DICOM file is larger than the limit. Ask your administrator.',
  },
  'burned-in': {
    releasable: true,
    text: 'The image may carry text in its pixels (SOP class, modality, BurnedInAnnotation, a comment between them). An administrator can look at it and release it.',
  },
  'encapsulated-document': {
    releasable: false,
    text: 'A document inside a DICOM file (PDF, CDA, STL) cannot be de-identified. Leave it out.',
  },
  'leak-check': {
    releasable: true,
    text: 'After de-identification something identifying was still found. An administrator can look at it and release it.',
  },
  'other-file': {
    releasable: true,
    text: 'The file is neither DICOM nor zip, and the project does not pass on other files. An administrator can release it.',
  },
  slip: {
    releasable: true,
    text: 'A DICOM file was put into the shared folder as it is. Remove it and upload it to your gpg folder.',
  },
  'no-patient-id': {
    releasable: false,
    text: 'The file has no usable PatientID, so it cannot be given a subject code. Export it again with one.',
  },
  'subject-conflict': {
    releasable: false,
    text: 'The same PatientID came earlier with another birth date or sex. Ask your administrator.',
  },
  'no-subject-code': {
    releasable: false,
    text: "The project's list of subject codes has no entry for this patient. Ask your administrator to add one.",
  },
  rule: {
    releasable: false,
    text: "A rule of the project's profile says that such files are held. Ask your administrator.",
  },
  dicomdir: {
    releasable: false,
    text: 'A DICOMDIR lists patients and is not passed on. Send the images without it.',
  },
  'zip-broken': { releasable: false, text: 'The zip file is damaged. Make it again.' },
  'zip-crc': {
    releasable: false,
    text: 'An entry of the zip file has a wrong checksum. Make it again.',
  },
  'zip-encrypted': {
    releasable: false,
    text: 'The zip file has a password. Make it again without one.',
  },
  'zip-path': {
    releasable: false,
    text: 'The zip file has entries with a path that leads outside. Make it again.',
  },
  'zip-link': {
    releasable: false,
    text: 'The zip file has links or special files in it. Make it again without them.',
  },
  'zip-overlap': {
    releasable: false,
    text: 'Entries of the zip file overlap; this is how zip bombs are made. Make it again.',
  },
  'zip-bomb': {
    releasable: false,
    text: 'The zip file grows beyond the limit when unpacked. Send it in smaller parts.',
  },
  'zip-depth': {
    releasable: false,
    text: 'Zip files are nested too deeply. Send the inner ones by themselves.',
  },
  'zip-entries': {
    releasable: false,
    text: 'The zip file has more entries than the limit. Send it in smaller parts.',
  },
  'zip-nothing-left': {
    releasable: false,
    text: 'Nothing of the zip file could be passed on; see the list of entries.',
  },
  'zip-exclusions': {
    releasable: false,
    text: 'Entries of the zip file had to be left out, and the project wants all or nothing. Mend them or send it without them.',
  },
  poison: {
    releasable: false,
    text: 'The program failed twice at this very file, so it was set aside. Export it again, and tell your administrator.',
  },
} as const satisfies Record<string, ReasonFacts>;

export type HoldReason = keyof typeof holdReasons;

/** Left out of a zip without being held: junk that carries nothing for research. */
export const dropReasons = {
  'dropped-dicomdir': 'A DICOMDIR lists patients; it was left out.',
  'dropped-junk': 'A file of the operating system or of a CD viewer; it was left out.',
  'dropped-other': 'Neither DICOM nor zip; the project leaves such files out.',
} as const;
export type DropReason = keyof typeof dropReasons;

/** Why an upload is `partial`: it goes on when the client resumes or overwrites it. */
export const partialReasons = {
  empty: 'The file is empty. Send it again.',
  disconnected: 'The connection ended before the client closed the file. Resume the upload.',
  refused:
    'The server could not write all of it, mostly because its disk is full. Resume the upload later; tell your administrator.',
  gap: 'Parts of the file were never written. Send it again.',
  'declared-size': 'The client announced more bytes than it sent. Resume the upload.',
  truncated: 'The file ends too early. Resume the upload or send it again.',
  'temporary-name': 'The file still has a temporary name; it is taken when the client renames it.',
} as const;
export type PartialReason = keyof typeof partialReasons;

/** Why a job is `waiting`. */
export const waitReasons = {
  'no-valid-key':
    'No valid recipient key is there; the file goes on when an administrator has added one.',
  'no-partner':
    'The project has no partner yet; the file goes on when an administrator has added one.',
  'broken-profile':
    "The project's de-identification profile is not valid; the file goes on when an administrator has mended it.",
} as const;
export type WaitReason = keyof typeof waitReasons;

/** One entry of a zip that was left out. `name` is the client's own and is shown in the sender's receipt alone. */
export interface Exclusion {
  readonly index: number;
  readonly name: string;
  readonly reason: HoldReason | DropReason;
  /** Tag and kind at most; never a value. */
  readonly detail?: string;
}
