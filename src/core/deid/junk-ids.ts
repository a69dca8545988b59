// PatientIDs that stand for nobody: what scanners fill in for emergencies and tests, what anonymisers leave behind, and
// words for "none". Upper case, without blanks and punctuation. Repetitions of one character (`0`, `0000`, `1`, `XXX`)
// count as junk by rule, see core/deid/subject.ts.

export const junkIDs: ReadonlySet<string> = new Set(
  // prettier-ignore
  [
    'ANON', 'ANONYM', 'ANONYMISED', 'ANONYMIZED', 'ANONYMOUS', 'ANONYMOUSPATIENT', 'ANONYMOUSE', 'ANONPATIENT', 'DEFAULT',
    'DEIDENTIFIED', 'DELETED', 'DEMO', 'DUMMY', 'EMERGENCY', 'EMPTY', 'FANTOM', 'HIDDEN', 'ID', 'JANEDOE', 'JOHNDOE',
    'KEINEID', 'MASKED', 'MISSING', 'MRN', 'NA', 'NIL', 'NOID', 'NOMRN', 'NONAME', 'NONE', 'NOPATIENTID', 'NOTAPPLICABLE',
    'NOTAVAILABLE', 'NOTKNOWN', 'NULL', 'PATIENT', 'PATIENTID', 'PATID', 'PHANTOM', 'QA', 'QC', 'REDACTED', 'REMOVED',
    'SAMPLE', 'SERVICE', 'TBD', 'TEMP', 'TEST', 'TESTID', 'TESTPATIENT', 'UNBEKANNT', 'UNDEFINED', 'UNKNOWN', 'UNKNOWNID',
    'UNKNOWNPATIENT', 'UNNAMED', 'UNSPECIFIED', 'WATERPHANTOM', '123', '1234', '12345', '123456', '1234567', '12345678',
    '123456789', '1234567890', '0123456789', '01', '001', '0001', '00001', '000001', '0000001', '00000001', '无', '未知', '匿名', '测试',
  ],
);
