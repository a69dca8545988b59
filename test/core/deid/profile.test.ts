// Profiles: what they may say, what is found wrong with them and on which line, what comes of them.

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { makeDeidTables } from '../../../scripts/gen-deid-table.ts';
import { readFieldList } from '../../../src/cli/field-list.ts';
import { formatCondition, parseCondition } from '../../../src/core/deid/condition.ts';
import { createPolicy } from '../../../src/core/deid/policy.ts';
import { describeProfile } from '../../../src/core/deid/profile-describe.ts';
import { profileFromRows } from '../../../src/core/deid/profile-import.ts';
import { compileProfile, profileHash, type Profile } from '../../../src/core/deid/profile.ts';
import { actionOfRow, tableRow } from '../../../src/core/deid/table-action.ts';
import type { Option } from '../../../src/core/deid/options.ts';
import { dictionary, lookup, tagOfKeyword } from '../../../src/core/dicom/dictionary.ts';
import { AppError } from '../../../src/core/errors.ts';
import { packageRoot } from '../../../src/package-root.ts';
import { profileOf, shipped } from '../../support/deid.ts';
import { gb18030 } from '../../support/dicom.ts';

void t.test('the example of the contract compiles', async (t) => {
  const profile = profileOf(`
extends: basic
options: [retain-safe-private, retain-longitudinal-modified-dates]
subject: { code: random, prefix: JI- }
burnedIn: hold
noPatientId: hold
otherFiles: hold
names: code
onExclusion: publish
rules:
  - { tag: PatientAge, action: keep }
  - { tag: "(0008,1030)", action: replace, value: BRAIN STUDY, when: "Modality = MR" }
`);
  t.same(profile.options, ['retain-longitudinal-modified-dates', 'retain-safe-private']);
  t.equal(profile.rules.length, 2);
  t.equal(profile.rules[0]?.origin, 'test line 11');
  t.same(profile.bases, ['basic']);
});

void t.test('an empty profile is the Basic Profile', async (t) => {
  t.equal(profileHash(profileOf('')), profileHash(profileOf('extends: basic')));
});

const rule = (text: string): string => `extends: basic\nrules:\n  - ${text}\n`;
const mistakes: readonly { name: string; yaml: string; line: number; says: RegExp }[] = [
  {
    name: 'an unknown key',
    yaml: 'extends: basic\n\noption: []\n',
    line: 3,
    says: /unknown key "option"/,
  },
  {
    name: 'an unknown key in a rule',
    yaml: rule('{ tag: PatientAge, action: keep, if: x }'),
    line: 3,
    says: /unknown key "if"/,
  },
  {
    name: 'an unknown option',
    yaml: 'options:\n  - retain-uids\n  - retain-names\n',
    line: 3,
    says: /options/,
  },
  {
    name: 'an unknown action',
    yaml: rule('{ tag: PatientAge, action: encrypt }'),
    line: 3,
    says: /action/,
  },
  { name: 'an unknown value', yaml: 'burnedIn: maybe\n', line: 1, says: /burnedIn/ },
  { name: 'an unknown base', yaml: '\nextends: nothing\n', line: 2, says: /no profile "nothing"/ },
  { name: 'no YAML', yaml: 'rules: [\n', line: 2, says: /./ },
  { name: 'a list in place of a map', yaml: '- a\n', line: 1, says: /./ },
  { name: 'the same key twice', yaml: 'names: code\nnames: keep\n', line: 2, says: /unique/i },
  {
    name: 'both options about dates',
    yaml: 'options: [retain-longitudinal-full-dates, retain-longitudinal-modified-dates]',
    line: 1,
    says: /not both/,
  },
  { name: 'no selector', yaml: rule('{ action: keep }'), line: 3, says: /exactly one of/ },
  {
    name: 'two selectors',
    yaml: rule('{ tag: PatientAge, vr: AS, action: keep }'),
    line: 3,
    says: /exactly one of/,
  },
  {
    name: 'a misspelt keyword',
    yaml: rule('{ tag: PatientAeg, action: keep }'),
    line: 3,
    says: /PatientAeg/,
  },
  {
    name: 'a tag without quotes',
    yaml: rule('{ tag: 00101010, action: keep }'),
    line: 3,
    says: /quotes/,
  },
  {
    name: 'a private tag without its creator',
    yaml: rule('{ tag: "(0029,1010)", action: keep }'),
    line: 3,
    says: /creator/,
  },
  {
    name: 'a creator with a standard tag',
    yaml: rule('{ creator: ACME, tag: "(0028,1010)", action: keep }'),
    line: 3,
    says: /private tag/,
  },
  {
    name: 'a tag that nobody knows',
    yaml: rule('{ tag: "(0008,1031)", action: keep }'),
    line: 3,
    says: /dictionary/,
  },
  {
    name: 'a group length',
    yaml: rule('{ tag: "(0008,0000)", action: keep }'),
    line: 3,
    says: /group length/,
  },
  {
    name: 'file meta',
    yaml: rule('{ tag: MediaStorageSOPClassUID, action: keep }'),
    line: 3,
    says: /file meta/,
  },
  {
    name: 'our own marks',
    yaml: rule('{ tag: PatientIdentityRemoved, action: remove }'),
    line: 3,
    says: /Clubhouse writes it/,
  },
  {
    name: 'the character set',
    yaml: rule('{ tag: SpecificCharacterSet, action: remove }'),
    line: 3,
    says: /character set/,
  },
  {
    name: 'the SOP class',
    yaml: rule('{ tag: SOPClassUID, action: hash-uid }'),
    line: 3,
    says: /not DICOM/,
  },
  {
    name: 'pixels emptied',
    yaml: rule('{ tag: PixelData, action: empty }'),
    line: 3,
    says: /pixels/,
  },
  {
    name: 'a date moved that is none',
    yaml: rule('{ tag: PatientName, action: shift-date }'),
    line: 3,
    says: /date/,
  },
  {
    name: 'a UID hashed that is none',
    yaml: rule('{ tag: PatientName, action: hash-uid }'),
    line: 3,
    says: /UID/,
  },
  {
    name: 'a sequence replaced',
    yaml: rule('{ tag: ContentSequence, action: replace, value: x }'),
    line: 3,
    says: /sequence/,
  },
  {
    name: 'a value too long',
    yaml: rule('{ tag: AccessionNumber, action: replace, value: ABCDEFGHIJKLMNOPQ }'),
    line: 3,
    says: /VR SH/,
  },
  {
    name: 'a value that is no date',
    yaml: rule('{ tag: StudyDate, action: replace, value: 2024-02-30 }'),
    line: 3,
    says: /VR DA/,
  },
  {
    name: 'a value beyond ASCII',
    yaml: rule('{ tag: StudyDescription, action: replace, value: Schädel }'),
    line: 3,
    says: /ASCII/,
  },
  {
    name: 'a value that nobody reads',
    yaml: rule('{ tag: PatientAge, action: keep, value: x }'),
    line: 3,
    says: /replace/,
  },
  {
    name: 'a condition that is none',
    yaml: rule('{ tag: PatientAge, action: keep, when: Modality }'),
    line: 3,
    says: /not a condition/,
  },
  {
    name: 'a condition on what nobody knows',
    yaml: rule('{ tag: PatientAge, action: keep, when: "Modalty = MR" }'),
    line: 3,
    says: /Modalty/,
  },
  {
    name: 'a path through what is no sequence',
    yaml: rule('{ path: PatientName/PatientID, action: keep }'),
    line: 3,
    says: /not a sequence/,
  },
  {
    name: 'a rule that can never fire',
    yaml: 'rules:\n  - { tag: PatientAge, action: keep, when: "Modality = CT" }\n  - { tag: PatientID, action: empty }\n  - { keyword: PatientAge, action: remove }\n',
    line: 2,
    says: /never fire, line 4/,
  },
  {
    name: 'a rule under a broader one',
    yaml: 'rules:\n  - { path: "*/ContentSequence/TextValue", action: clean }\n  - { group: "0040", action: remove }\n',
    line: 2,
    says: /never fire/,
  },
  {
    name: 'a rule in a sequence that goes',
    yaml: 'rules:\n  - { path: RequestAttributesSequence/ScheduledProcedureStepID, action: keep }\n',
    line: 2,
    says: /never fire: RequestAttributesSequence gets "remove" \(PS3.15 E.1-1\)/,
  },
  {
    name: 'a rule in a sequence that an own rule takes away',
    yaml: 'rules:\n  - { tag: ContentSequence, action: empty }\n  - { path: "*/ContentSequence/TextValue", action: clean }\n',
    line: 3,
    says: /never fire: ContentSequence gets "empty" \(test line 2\)/,
  },
  {
    name: 'a condition on two values of one',
    yaml: rule('{ tag: PatientAge, action: keep, when: "Modality = MR and Modality = CT" }'),
    line: 3,
    says: /never hold: it asks two things of Modality/,
  },
  {
    name: 'a condition on what is absent and has a value',
    yaml: rule(
      '{ tag: PatientAge, action: keep, when: "StationName absent and StationName contains A" }',
    ),
    line: 3,
    says: /never hold/,
  },
  {
    name: 'a rule under one for its VR',
    yaml: 'rules:\n  - { tag: PatientName, action: keep }\n  - { vr: PN, action: empty }\n',
    line: 2,
    says: /never fire, line 3/,
  },
  {
    name: 'a rule under one that asks less',
    yaml: 'rules:\n  - { tag: PatientAge, action: keep, when: "Modality = CT and PatientSex exists" }\n  - { tag: PatientAge, action: remove, when: "Modality = CT" }\n',
    line: 2,
    says: /never fire, line 3/,
  },
  {
    name: 'an action that fits nothing of a group',
    yaml: rule('{ group: "60xx", action: hash-uid }'),
    line: 3,
    says: /never fire: it selects nothing/,
  },
  {
    name: 'a group that the standard does not have',
    yaml: rule('{ group: "000C", action: keep }'),
    line: 3,
    says: /never fire: it selects nothing/,
  },
  {
    name: 'a group that no dataset has',
    yaml: rule('{ group: "0000", action: remove }'),
    line: 3,
    says: /no dataset/,
  },
  {
    name: 'a VR that is none',
    yaml: rule('{ vr: ZZ, action: remove }'),
    line: 3,
    says: /not a VR/,
  },
  {
    name: 'a creator that no file can have',
    yaml: rule(`{ creator: ${'A'.repeat(65)}, action: keep }`),
    line: 3,
    says: /private creator/,
  },
  {
    name: 'our own marks, by path',
    yaml: rule('{ path: "*/DeidentificationMethod", action: keep }'),
    line: 3,
    says: /Clubhouse writes it/,
  },
  {
    name: 'the instance UID, by path',
    yaml: rule('{ path: SOPInstanceUID, action: remove }'),
    line: 3,
    says: /not DICOM/,
  },
  {
    name: 'the character set of an item',
    yaml: rule('{ path: ContentSequence/SpecificCharacterSet, action: remove }'),
    line: 3,
    says: /character set/,
  },
  {
    name: 'a private rule under its whole creator',
    yaml: 'rules:\n  - { creator: ACME, tag: "(0029,xx10)", action: keep }\n  - { creator: ACME, action: remove }\n',
    line: 2,
    says: /never fire/,
  },
];

for (const { name, yaml, line, says } of mistakes) {
  void t.test(`is refused with its line: ${name}`, async (t) => {
    try {
      profileOf(yaml);
      t.fail('it compiled');
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      t.equal(error.code, 'PROFILE_INVALID');
      t.match(error.detail, says);
      t.match(error.detail, new RegExp(`^test, line ${line}: `));
    }
  });
}

const passes: readonly { name: string; yaml: string }[] = [
  {
    name: 'what a broad rule after it does not fit',
    yaml: 'rules: [{ tag: StudyDescription, action: keep }, { group: "0008", action: shift-date }]',
  },
  {
    name: 'what a broad rule after it does not reach',
    yaml: 'rules: [{ tag: SOPInstanceUID, action: keep }, { group: "0008", action: remove }]',
  },
  {
    name: 'a private rule under one for a group, which does not reach it',
    yaml: 'rules: [{ creator: ACME, tag: "(0029,xx10)", action: keep }, { tag: "(xxxx,xxxx)", action: keep }]',
  },
  {
    name: 'the instance UID of what a sequence refers to',
    yaml: 'rules: [{ path: ContentSequence/SOPInstanceUID, action: remove }]',
  },
  {
    name: 'a sequence that its own rule keeps',
    yaml: 'rules: [{ tag: RequestAttributesSequence, action: keep }, { path: RequestAttributesSequence/ScheduledProcedureStepID, action: keep }]',
  },
  {
    name: 'a sequence that stays under a condition',
    yaml: 'rules: [{ tag: RequestAttributesSequence, action: keep, when: "Modality = MR" }, { path: RequestAttributesSequence/ScheduledProcedureStepID, action: keep }]',
  },
  {
    name: 'a sequence that the table keeps',
    yaml: 'rules: [{ path: "*/ContentSequence/TextValue", action: clean }]',
  },
  {
    name: 'two of several values',
    yaml: 'rules: [{ tag: PatientAge, action: keep, when: "ImageType = ORIGINAL and ImageType = PRIMARY" }]',
  },
];
for (const { name, yaml } of passes) {
  void t.test(`compiles: ${name}`, async (t) => {
    t.ok(profileOf(yaml).rules.length > 0);
  });
}

void t.test('several mistakes are told at once, each with its line', async (t) => {
  for (const [yaml, says] of [
    [
      'rules:\n  - { tag: Aeg, action: keep }\n  - { vr: ZZ, action: keep }\n  - { tag: PatientAge, action: keep }\n  - { tag: "(0002,0010)", action: keep }\n',
      /^test, line 2: "Aeg".*; line 3: "ZZ".*; line 5: .*file meta/,
    ],
    [
      'rules:\n  - { tag: PatientAge, action: keep }\n  - { tag: PatientSex, action: keep }\n  - { group: "0010", action: remove }\n',
      /^test, line 2: .* line 4 overrules it.*; line 3: .*never fire/,
    ],
  ] as const) {
    try {
      profileOf(yaml);
      t.fail('it compiled');
    } catch (error) {
      t.match((error as AppError).detail, says);
    }
  }
});

void t.test('a value in quotes may hold the word and', async (t) => {
  const when = parseCondition('Manufacturer = "Smith and Nephew" and Modality = CT');
  t.match(when, [
    { is: '=', value: 'SMITH AND NEPHEW' },
    { is: '=', value: 'CT' },
  ]);
  t.equal(
    typeof when === 'string' ? when : formatCondition(when),
    'Manufacturer = "SMITH AND NEPHEW" and Modality = CT',
  );
});

const sheets: readonly { name: string; bytes: Uint8Array; want: readonly object[] }[] = [
  {
    name: "Excel's semicolons with a mark",
    bytes: Buffer.from(
      '\ufeffTag;Action;Value\r\nPatientAge;keep;\r\n;;\r\n00081030;replace;"BRAIN; MRI"\r\n',
    ),
    want: [
      { tag: 'PatientAge', action: 'keep', line: 2 },
      { tag: '00081030', action: 'replace', value: 'BRAIN; MRI', line: 4 },
    ],
  },
  {
    name: 'GBK with Chinese words',
    bytes: gb18030(
      '字段,动作,值,说明\r\nPatientAge,保留,,年龄\r\nStudyDescription,替换,BRAIN,检查描述\r\nPatientComments,删除,,备注 ',
    ),
    want: [
      { tag: 'PatientAge', action: '保留' },
      { tag: 'StudyDescription', action: '替换', value: 'BRAIN' },
      { tag: 'PatientComments', action: '删除' },
    ],
  },
  {
    name: 'UTF-16 with tabs',
    bytes: Buffer.from('\ufefftag\tkeyword\taction\n\tPatientAge\tkeep\n', 'utf16le'),
    want: [{ tag: 'PatientAge', action: 'keep' }],
  },
  {
    name: 'private attributes and conditions',
    bytes: Buffer.from('tag,action,value,creator,when\n"(0029,xx10)",keep,,ACME,Modality = MR\n'),
    want: [{ tag: '(0029,xx10)', action: 'keep', creator: 'ACME', when: 'Modality = MR' }],
  },
];
for (const { name, bytes, want } of sheets) {
  void t.test(`reads a field list: ${name}`, async (t) => {
    const rows = readFieldList(bytes);
    t.match(rows, want);
    t.equal(rows.length, want.length);
    t.equal(profileOf(profileFromRows(rows)).rules.length, want.length, 'and it becomes a profile');
  });
}

void t.test(
  'a field list without its columns is refused with the line and without its words',
  async (t) => {
    for (const text of [
      'MRN12345 SECRET\n1\n',
      'tag,action\nPatientAge,\n',
      'tag,action\n"PatientAge,keep\n',
    ]) {
      try {
        readFieldList(Buffer.from(text));
        t.fail('it was taken');
      } catch (error) {
        t.match(error, { code: 'BAD_INPUT' });
        t.notMatch((error as AppError).detail, /SECRET/);
      }
    }
  },
);

void t.test('profiles that extend each other in a circle are refused', async (t) => {
  const circle = (name: string) => ({ name, yaml: `extends: ${name === 'a' ? 'b' : 'a'}` });
  t.throws(() => compileProfile('extends: b', 'a', circle), { code: 'PROFILE_INVALID' });
});

void t.test(
  'a later rule wins, an exact one or a broad one, and a base may be overruled',
  async (t) => {
    const base = { name: 'base', yaml: 'rules: [{ tag: PatientAge, action: keep }]' };
    const profile = compileProfile(
      'extends: base\nrules:\n  - { vr: AS, action: remove }\n  - { group: "0018", action: remove }\n  - { tag: SliceThickness, action: keep }\n',
      'own',
      () => base,
    );
    const policy = createPolicy(profile).unconditional();
    const of = (keyword: string): string => {
      const tag = tagOfKeyword(keyword) ?? 0;
      return policy.decide({ tag, vr: lookup(tag)?.vrs[0] ?? 'UN', creator: undefined, path: [] })
        .action.kind;
    };
    t.equal(of('PatientAge'), 'remove');
    t.equal(of('SliceThickness'), 'keep');
    t.equal(of('RepetitionTime'), 'remove');
  },
);

void t.test('broad rules do not reach what Clubhouse cannot do without', async (t) => {
  const profile = profileOf('rules: [{ vr: UI, action: remove }, { vr: CS, action: empty }]');
  const policy = createPolicy(profile).unconditional();
  t.equal(
    policy.decide({ tag: 0x00080016, vr: 'UI', creator: undefined, path: [] }).action.kind,
    'keep',
  );
  t.equal(
    policy.decide({ tag: 0x00080018, vr: 'UI', creator: undefined, path: [] }).action.kind,
    'hash-uid',
  );
  t.equal(
    policy.decide({ tag: 0x00080005, vr: 'CS', creator: undefined, path: [] }).action.kind,
    'keep',
  );
});

void t.test('the hash follows what a profile does, not how it is called or laid out', async (t) => {
  const one = compileProfile('rules:\n  - { tag: PatientAge, action: keep }', 'one', shipped);
  const two = compileProfile(
    '\n\n# x\nrules: [{ keyword: PatientAge, action: keep }]',
    'two',
    shipped,
  );
  const other = compileProfile('rules: [{ tag: PatientAge, action: empty }]', 'one', shipped);
  t.match(profileHash(one), /^[0-9a-f]{64}$/);
  t.equal(profileHash(one), profileHash(two));
  t.not(profileHash(one), profileHash(other));
  t.equal(profileHash(JSON.parse(JSON.stringify(one)) as Profile), profileHash(one));
});

void t.test('the shipped profiles compile and are told apart', async (t) => {
  const hashes = new Set<string>();
  for (const name of ['basic', 'research-ct-mr', 'strict']) {
    const profile = profileOf(`extends: ${name}`);
    hashes.add(profileHash(profile));
    t.equal(profile.bases[0], name);
  }
  t.equal(hashes.size, 3);
  t.equal(profileHash(profileOf('extends: basic')), profileHash(profileOf('')));
});

const codes: readonly [keyword: string, options: readonly Option[], action: string][] = [
  ['PatientName', [], 'pseudonym'], // Z
  ['PatientID', [], 'pseudonym'], // Z/D
  ['PatientBirthDate', [], 'empty'], // Z
  ['InstitutionName', [], 'dummy'], // X/Z/D
  ['InstanceCreationDate', [], 'dummy'], // X/D
  ['RequestedProcedureDescription', [], 'empty'], // X/Z
  ['ReferencedStudySequence', [], 'empty'], // X/Z
  ['ReferencedImageSequence', [], 'hash-uid'], // X/Z/U*
  ['ContentDate', [], 'dummy'], // Z/D
  ['PatientComments', [], 'remove'], // X
  ['SOPInstanceUID', [], 'hash-uid'], // U
  ['SOPInstanceUID', ['retain-uids'], 'keep'],
  ['StudyDate', ['retain-longitudinal-full-dates'], 'keep'],
  ['StudyDate', ['retain-longitudinal-modified-dates'], 'shift-date'],
  ['DateOfLastCalibration', ['retain-device-identity'], 'keep'],
  [
    'DateOfLastCalibration',
    ['retain-device-identity', 'retain-longitudinal-modified-dates'],
    'shift-date',
  ],
  ['StationAETitle', ['retain-device-identity'], 'remove'],
  ['SeriesDescription', ['clean-descriptors'], 'clean'],
  ['Allergies', ['retain-patient-characteristics'], 'clean'],
  ['ContentSequence', [], 'dummy'],
  ['ContentSequence', ['clean-structured-content'], 'clean'],
  ['GraphicAnnotationSequence', ['clean-graphics'], 'clean'],
  ['UnformattedTextValue', [], 'dummy'],
  ['UnformattedTextValue', ['clean-graphics'], 'clean'],
  ['UnformattedTextValue', ['clean-descriptors'], 'clean'],
];

for (const [keyword, options, want] of codes) {
  void t.test(`${keyword} under [${options.join(', ')}] gets ${want}`, async (t) => {
    const tag = tagOfKeyword(keyword) ?? 0;
    const row = tableRow(tag);
    const vr = lookup(tag)?.vrs[0] ?? 'UN';
    t.equal(row && actionOfRow(row, tag, vr, new Set(options)).kind, want);
  });
}

void t.test('the table without options never keeps', async (t) => {
  const rows = describeProfile(profileOf('')).filter(({ origin }) => origin === 'PS3.15 E.1-1');
  t.ok(rows.length > 600);
  t.same(
    rows.filter((row) => row.action === 'keep'),
    [],
  );
});

void t.test('the description has every attribute of the dictionary once', async (t) => {
  const rows = describeProfile(profileOf(rule('{ tag: "(6000,3000)", action: keep }')));
  t.equal(new Set(rows.map(({ tag }) => tag)).size, rows.length);
  const keywords = new Set(rows.map(({ keyword }) => keyword));
  const missing = dictionary().filter(
    ({ tag, keyword }) => tag >>> 16 >= 8 && tag >>> 16 !== 0xfffe && !keywords.has(keyword),
  );
  t.same(missing, []);
  for (const [tag, keyword, action, origin] of [
    ['(0018,0050)', 'SliceThickness', 'keep', 'not listed in PS3.15 E.1-1'],
    ['(0008,0056)', 'InstanceAvailability', 'keep', 'not listed in PS3.15 E.1-1'],
    ['(0010,0010)', 'PatientName', 'pseudonym', 'PS3.15 E.1-1'],
    ['(0018,9074)', 'FrameAcquisitionDateTime', 'dummy', 'PS3.15 E.1-1'],
    [
      '(0010,0033)',
      'PatientBirthDateInAlternativeCalendar',
      'remove',
      'remarks, orders and people',
    ],
    ['(60xx,3000)', 'OverlayData', 'remove', 'PS3.15 E.1-1'],
    ['(60xx,0010)', 'OverlayRows', 'remove', 'goes with OverlayData'],
    ['(6000,3000)', 'OverlayData', 'keep', 'test line 3'],
    ['(0002,xxxx)', '', 'rebuild', 'no part of an image'],
    ['private', '', 'remove', 'PS3.15 E.1-1'],
  ] as const) {
    t.match(
      rows.find((row) => row.tag === tag),
      { tag, keyword, action, origin },
    );
  }
});

void t.test('the description says where each action comes from', async (t) => {
  const rows = describeProfile(
    profileOf(
      rule(
        '{ tag: PatientAge, action: keep }\n  - { vr: LT, action: empty, when: "Modality = CT" }',
      ),
    ),
  );
  t.match(
    rows.find(({ keyword }) => keyword === 'PatientAge'),
    { tag: '(0010,1010)', action: 'keep', origin: 'test line 3' },
  );
  t.match(rows.at(-1), {
    tag: 'VR LT',
    action: 'empty',
    when: 'Modality = CT',
    origin: 'test line 4',
  });
});

void t.test(
  "an IRB's list becomes a profile that compiles, and its mistakes name their row",
  async (t) => {
    const yaml = profileFromRows([
      { tag: 'PatientAge', action: 'Keep', line: 2 },
      { tag: '00081030', action: 'replace', value: ' BRAIN STUDY ', line: 3 },
      { tag: '(0010,4000)', action: 'delete', line: 4 },
      { tag: 'PatientAge', action: 'remove', value: '', line: 5 },
    ]);
    const profile = profileOf(yaml);
    t.same(
      profile.rules.map(({ action }) => action.kind),
      ['replace', 'remove', 'remove'],
    );
    for (const [row, says] of [
      [{ tag: 'PatientAge', action: 'burn', line: 7 }, /^row 7: the action/],
      [{ tag: 'NoSuchThing', action: 'keep', line: 8 }, /^row 8: not a keyword/],
      [{ tag: 'PatientAge', action: 'shift-date', line: 9 }, /^row 9: .*date.*; row 10: not a/],
    ] as const) {
      try {
        profileFromRows([row, { tag: 'NeitherThis', action: 'keep', line: 10 }]);
        t.fail('it was taken');
      } catch (error) {
        t.match((error as AppError).detail, says);
      }
    }
  },
);

void t.test('the generated tables are what the script makes of the standard', async (t) => {
  const shared = process.env['CLUBHOUSE_SHARED'] ?? join(packageRoot, '..', 'shared');
  const made = await makeDeidTables(shared).catch(() => undefined);
  if (made === undefined) {
    t.pass('the tables of the standard are not here');
    return;
  }
  for (const [path, text] of made) t.equal(await readFile(join(packageRoot, path), 'utf8'), text);
});
