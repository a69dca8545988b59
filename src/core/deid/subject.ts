// Who a file is about (SPEC 7): the PatientID decides, with its issuer; names and their spelling do not. What counts as
// no ID is a shipped list, because scanners and archives invent IDs that many patients share.

import { createHmac } from 'node:crypto';
import type { DataSet } from '../dicom/dataset.ts';
import { junkIDs } from './junk-ids.ts';
import type { Profile } from './profile.ts';
import { charsetsOf, firstValue, valuesOf, trimPadding } from './reading.ts';

/** Who a file is about; it crosses to the main thread and stays there. */
export interface SubjectIdentity {
  /** HMAC-SHA-256, hex, of the normalised PatientID with its issuer (or of the StudyInstanceUID with noPatientId: study). */
  readonly key: string;
  /** For the sealed crosswalk: what an export shows. */
  readonly patientID: string;
  readonly issuer: string;
  readonly patientName: string;
  /** As in the file, `''` where absent; for subject-conflict. */
  readonly birthDate: string;
  readonly sex: string;
}

export interface Subject {
  readonly code: string;
  /** Days to add to every date of this patient; never 0. */
  readonly dateOffsetDays: number;
}

export type IdentityAnswer =
  | { readonly kind: 'identity'; readonly identity: SubjectIdentity }
  | { readonly kind: 'held'; readonly reason: 'no-patient-id' };

/** What stands for a person is stored for ever; 64 characters are allowed (PS3.5 §6.2), 64 MB could come. */
const longest = 1024;

/** Case and leading zeros count; compatibility forms (full-width digits) and outer blanks do not. */
export const normalizeID = (id: string): string =>
  id
    .normalize('NFKC')
    .replaceAll(/[\s\0]+/g, ' ')
    .trim();

/** Is this no ID at all, or one of those that stand for nobody? */
export function isJunkID(id: string): boolean {
  const bare = normalizeID(id)
    .toUpperCase()
    .replaceAll(/[\s._/\\-]+/g, '');
  return bare === '' || junkIDs.has(bare) || /^(0+|9{3,}|X+|[?]+)$/.test(bare);
}

/** The key by which the crosswalk knows a patient; also for IDs of an imported list. */
export function identityKey(patientID: string, issuer: string, key: Uint8Array): string {
  let known = identityKeys.get(key);
  if (known === undefined) identityKeys.set(key, (known = new Map<string, string>()));
  const who = JSON.stringify([issuer, patientID]);
  let identity = known.get(who);
  if (identity === undefined) {
    if (known.size >= 256) known.clear();
    identity = keyed('patient', [normalizeID(issuer), normalizeID(patientID)], key);
    known.set(who, identity);
  }
  return identity;
}

/** One patient's files come one after the other. */
const identityKeys = new WeakMap<Uint8Array, Map<string, string>>();

function keyed(kind: string, parts: readonly string[], key: Uint8Array): string {
  const mac = createHmac('sha256', key).update(kind);
  // lengths keep ('ab','c') apart from ('a','bc')
  for (const part of parts) mac.update(`\0${Buffer.byteLength(part)}\0`).update(part);
  return mac.digest('hex');
}

/**
 * Reads the identity from a header as it came. `key`: the project's identity key, 32 bytes. Held where there is no usable
 * PatientID and the profile does not let the study stand for it.
 */
export function readIdentity(
  header: DataSet,
  profile: Pick<Profile, 'subject' | 'noPatientId'>,
  key: Uint8Array,
): IdentityAnswer {
  const charsets = charsetsOf(header);
  const patientID = normalizeID(valuesOf(header, 0x00100020, charsets).join('\\'));
  const named = normalizeID(firstValue(header, 0x00100021, charsets));
  const issuer = named === '' ? normalizeID(profile.subject.issuer) : named;
  const rest = {
    patientName: firstValue(header, 0x00100010, charsets).slice(0, longest).normalize('NFKC'),
    birthDate: firstValue(header, 0x00100030).slice(0, 64),
    sex: firstValue(header, 0x00100040).slice(0, 64),
  };
  if (Math.max(patientID.length, issuer.length) > longest) {
    return { kind: 'held', reason: 'no-patient-id' };
  }
  if (!isJunkID(patientID)) {
    const identity = { key: identityKey(patientID, issuer, key), patientID, issuer, ...rest };
    return { kind: 'identity', identity };
  }
  const study = studyOf(header);
  if (profile.noPatientId === 'hold' || study === '') {
    return { kind: 'held', reason: 'no-patient-id' };
  }
  // a study without an ID says nothing reliable about birth date and sex, so there is no conflict to find
  const identity = {
    ...rest,
    key: keyed('study', [study], key),
    patientID,
    issuer,
    birthDate: '',
    sex: '',
  };
  return { kind: 'identity', identity };
}

/** The StudyInstanceUID; where a file has none (it is type 1, but files without exist) the narrowest thing that it names:
 *  its series, else the instance itself. That never joins what may be two patients. */
const studyOf = (header: DataSet): string =>
  [0x0020000d, 0x0020000e, 0x00080018]
    .map((tag) => trimPadding(firstValue(header, tag)))
    .find((uid) => uid !== '') ?? '';
