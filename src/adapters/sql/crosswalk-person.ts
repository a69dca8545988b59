// What the crosswalk knows of a patient beside the code: enough to notice that one ID stands for two people, and to fill in
// what an earlier file did not say.

import { randomInt } from 'node:crypto';
import type { SubjectIdentity } from '../../flow/ports/processing.ts';

export type Person = Omit<SubjectIdentity, 'key'>;

/** `more`: the same patient, about whom `now` says something that was not known yet. */
export function compare(known: Person, now: Person): 'same' | 'more' | 'other' {
  let answer: 'same' | 'more' = 'same';
  for (const part of [birthDateOf, sexOf]) {
    const [before, after] = [part(known), part(now)];
    if (before !== '' && after !== '' && before !== after) return 'other';
    if (before === '' && after !== '') answer = 'more';
  }
  return known.patientName === '' && now.patientName !== '' ? 'more' : answer;
}

/** Up to a year to either side, never 0; in whole weeks where the day of the week must stay. */
export function randomOffset(wholeWeeks: boolean): number {
  const days = wholeWeeks ? 7 * randomInt(1, 53) : randomInt(1, 366);
  return randomInt(2) === 0 ? days : -days;
}

/** Old files write 1987.03.05 (PS3.5 §6.2). */
const birthDateOf = ({ birthDate }: Person): string => birthDate.replaceAll(/\D/g, '');

/** Only the defined terms of PS3.3 C.7.1.1 say something; others mean that it is not known. */
const sexOf = ({ sex }: Person): string => {
  const term = sex.trim().toUpperCase();
  return term === 'M' || term === 'F' || term === 'O' ? term : '';
};

/** What is known stays; what was empty is filled. */
export const merged = (known: Person, now: Person): Person => ({
  patientID: known.patientID === '' ? now.patientID : known.patientID,
  issuer: known.issuer === '' ? now.issuer : known.issuer,
  patientName: known.patientName === '' ? now.patientName : known.patientName,
  birthDate: birthDateOf(known) === '' ? now.birthDate : known.birthDate,
  sex: sexOf(known) === '' ? now.sex : known.sex,
});
