// PatientIDs that stand for nobody: what scanners fill in for emergencies and tests, what anonymisers leave behind, and
// words for "none". Upper case, without blanks and punctuation. Numbers other than 1 are not listed, for small clinics do
// count their patients 2, 17 or 12345; runs of 0, 9, X and ? count as junk by rule, see core/deid/subject.ts.

export const junkIDs: ReadonlySet<string> = new Set(
  // prettier-ignore
  [
    'ANON', 'ANONYM', 'ANONYMISED', 'ANONYMIZED', 'ANONYMOUS', 'ANONYMOUSPATIENT', 'ANONYMOUSE', 'ANONPATIENT', 'DEFAULT',
    'DEIDENTIFIED', 'DELETED', 'DEMO', 'DUMMY', 'EMERGENCY', 'EMPTY', 'FANTOM', 'HIDDEN', 'ID', 'JANEDOE', 'JOHNDOE',
    'KEINEID', 'MASKED', 'MISSING', 'MRN', 'NA', 'NIL', 'NOID', 'NOMRN', 'NONAME', 'NONE', 'NOPATIENTID', 'NOTAPPLICABLE',
    'NOTAVAILABLE', 'NOTKNOWN', 'NULL', 'PATIENT', 'PATIENTID', 'PATID', 'PHANTOM', 'QA', 'QC', 'REDACTED', 'REMOVED',
    'SAMPLE', 'SERVICE', 'TBD', 'TEMP', 'TEST', 'TESTID', 'TESTPATIENT', 'UNBEKANNT', 'UNDEFINED', 'UNKNOWN', 'UNKNOWNID',
    'UNKNOWNPATIENT', 'UNNAMED', 'UNSPECIFIED', 'WATERPHANTOM', '1', '无', '未知', '匿名', '测试',
  ],
);
