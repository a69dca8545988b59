// What only looks like a person and must not hold a file: the leak check is built not to cry wolf.

import { el } from '../../support/dicom.ts';
import { anna, code, comment, id, person, text, type Case } from './leak-cases.ts';

export const mustPass: readonly Case[] = [
  ...['1', '12', 'G'].map((value) => ({
    name: `the ID ${value} in text and numbers`,
    original: id(value),
    written: [text(`Series ${value} of 3 G`), el(0x00200011, 'IS', value)],
    found: [],
  })),
  { name: 'the ID 1 as a whole value', original: id('1'), written: [text('1')], found: [] },
  ...['CT', 'Test', 'G', 'Head', 'Chest^Routine', 'Brain^Head'].map((value) => ({
    name: `the name ${value}`,
    original: [person(value)],
    written: [text('CT Test of Head and Chest, G'), el(0x00080070, 'LO', 'CT Maker')],
    found: [],
  })),
  {
    name: 'a common word that is a part of a name, as a whole value',
    original: [person('Test^Physician')],
    written: [text('test')],
    found: [],
  },
  {
    name: 'the name of a program in place of a patient',
    original: [person('dicom2nifti'), ...id('dicom2nifti')],
    written: [text('dicom2nifti')],
    found: [],
  },
  {
    name: 'a six-digit ID inside a UID',
    original: id('123456'),
    written: [el(0x0020000d, 'UI', '2.25.99.123456.1'), text('2.25.99.123456.1.7.8')],
    found: [],
  },
  {
    name: 'an ID inside a longer number',
    original: id('12345'),
    written: [text('9123456')],
    found: [],
  },
  {
    name: 'an ID made of a version number',
    original: id('1234'),
    written: [text('1.2.3.4')],
    found: [],
  },
  {
    name: 'an ID that is a number of the image',
    original: id('2048'),
    written: [el(0x00280010, 'US', [2048]), el(0x00280030, 'DS', '2048\\1')],
    found: [],
  },
  {
    name: 'a name inside a longer word',
    original: anna,
    written: [text('Testpersonality')],
    found: [],
  },
  {
    name: 'a name that is a coded term',
    original: [person('Thorax^Annamaria')],
    written: [el(0x00180015, 'CS', 'THORAX')],
    found: [],
  },
  {
    name: 'a name that is a code meaning',
    original: [person('Weissman^Annamaria')],
    written: [
      el(0x00082218, 'SQ', {
        items: [
          [
            el(0x00080100, 'SH', 'T-1'),
            el(0x00080102, 'SH', 'SRT'),
            el(0x00080104, 'LO', 'Weissman'),
          ],
        ],
      }),
    ],
    found: [],
  },
  {
    name: 'the subject code',
    original: id(code),
    written: [el(0x00100010, 'PN', code), el(0x00100020, 'LO', code)],
    found: [],
  },
  {
    name: 'our own marks',
    original: [person('Profile^Annamaria')],
    written: [el(0x00120062, 'CS', 'YES'), el(0x00120063, 'LO', 'Clubhouse; Profile basic')],
    found: [],
  },
  {
    name: 'a shifted date that was another date before',
    original: [el(0x00100030, 'DA', '19870305')],
    written: [el(0x00080020, 'DA', '19870305')],
    found: [],
  },
  {
    name: 'another date in text',
    original: [el(0x00100030, 'DA', '19870305')],
    written: [text('1987-03-06 protocol')],
    found: [],
  },
  ...['V5.3.87', '15/03/05 of 87', '87 of 305', 'f/2.8, 5/3/8', '3.5.1987.4'].map((value) => ({
    name: `what only looks like a date: ${value}`,
    original: [el(0x00100030, 'DA', '19870305')],
    written: [text(value)],
    found: [],
  })),
  {
    name: 'a long number that is no mobile number',
    original: [comment('serial 139555012345678')],
    written: [text('13955501234')],
    found: [],
  },
  {
    name: 'standard UIDs',
    original: [el(0x00081155, 'UI', '1.2.840.10008.5.1.4.1.1.2')],
    written: [],
    found: [],
  },
];
