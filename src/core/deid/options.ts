// The ten options of PS3.15 Annex E (E.3.2 to E.3.11) by the names that profiles use, with the codes by which an
// output says that they were used (PS3.16 CID 7050).

/** A code of PS3.16, scheme DCM. */
export interface MarkCode {
  readonly value: string;
  readonly meaning: string;
}

export const basicProfileCode: MarkCode = {
  value: '113100',
  meaning: 'Basic Application Confidentiality Profile',
};

export const optionCodes = {
  'retain-safe-private': { value: '113111', meaning: 'Retain Safe Private Option' },
  'retain-uids': { value: '113110', meaning: 'Retain UIDs Option' },
  'retain-device-identity': { value: '113109', meaning: 'Retain Device Identity Option' },
  'retain-institution-identity': { value: '113112', meaning: 'Retain Institution Identity Option' },
  'retain-patient-characteristics': {
    value: '113108',
    meaning: 'Retain Patient Characteristics Option',
  },
  'retain-longitudinal-full-dates': {
    value: '113106',
    meaning: 'Retain Longitudinal Temporal Information Full Dates Option',
  },
  'retain-longitudinal-modified-dates': {
    value: '113107',
    meaning: 'Retain Longitudinal Temporal Information Modified Dates Option',
  },
  'clean-descriptors': { value: '113105', meaning: 'Clean Descriptors Option' },
  'clean-structured-content': { value: '113104', meaning: 'Clean Structured Content Option' },
  'clean-graphics': { value: '113103', meaning: 'Clean Graphics Option' },
} as const satisfies Record<string, MarkCode>;

export type Option = keyof typeof optionCodes;

export const allOptions = Object.keys(optionCodes) as readonly Option[];
