// Texts inside compressed pixels: where they stand in the formats, what is read of them, and what is thought of them.

import t from 'tap';
import { judgeComment, type CommentKind } from '../../../src/core/deid/pixel-comments.ts';
import { collectTerms } from '../../../src/core/deid/leak-terms.ts';
import { ImageComments } from '../../../src/core/dicom/image-comments.ts';
import { walked } from '../../support/deid.ts';
import { ctSlice, fragmentBytes, gb18030, syntaxes } from '../../support/dicom.ts';
import { makePipeline } from '../../support/pipeline.ts';
import { threeWays } from '../../support/walk.ts';

// --- made-up frames: only their headers are real -------------------------------------------------------------

const be = (size: 2 | 4, value: number): Buffer => {
  const bytes = Buffer.alloc(size);
  bytes.writeUIntBE(value, 0, size);
  return bytes;
};
const segment = (marker: number, body: string | Uint8Array): Buffer =>
  Buffer.concat([be(2, marker), be(2, body.length + 2), Buffer.from(body as Uint8Array)]);
/** Packets in which the bytes of markers stand: they must not be read as such. */
const coded = Buffer.concat([
  Buffer.from([1, 2, 3]),
  segment(0xfffe, 'ZQNOTREAD'),
  Buffer.alloc(301, 9),
]);

/** Coded pixels of JPEG: FF is followed by 00, by a restart, or in JPEG-LS by a bit. */
const scan = Buffer.concat([
  Buffer.from([0xff, 0, 0xfe, 9, 0xff, 0xd3, 1, 0xff, 0x7f, 0xff, 0x3e]),
  Buffer.alloc(301, 9),
]);

const even = (bytes: Buffer): Buffer =>
  bytes.length % 2 === 0 ? bytes : Buffer.concat([bytes, Buffer.alloc(1)]);
const soi = Buffer.from([0xff, 0xd8]);
const jpeg = (...segments: readonly Buffer[]): Buffer =>
  even(
    Buffer.concat([
      soi,
      ...segments,
      segment(0xffc0, Buffer.alloc(9)),
      segment(0xffda, Buffer.alloc(6)),
      scan,
    ]),
  );
/** What stands behind the first scan. */
const jpegThen = (...parts: readonly Buffer[]): Buffer => even(Buffer.concat([jpeg(), ...parts]));
const eoi = Buffer.from([0xff, 0xd9]);
const text = (some: string): Buffer => Buffer.from(some);
const com = (text: string | Uint8Array): Buffer => segment(0xfffe, text);

const siz = segment(0xff51, Buffer.alloc(38));
const j2kComment = (text: string): Buffer => segment(0xff64, Buffer.from(`\0\x01${text}`));
const tile = (index: number, ...segments: readonly Buffer[]): Buffer => {
  const rest = Buffer.concat([...segments, Buffer.from([0xff, 0x93]), coded]);
  const place = Buffer.concat([be(2, index), be(4, rest.length + 12), Buffer.from([0, 1])]);
  return Buffer.concat([segment(0xff90, place), rest]);
};
const codestream = (...parts: readonly Buffer[]): Buffer =>
  even(Buffer.concat([Buffer.from([0xff, 0x4f]), siz, ...parts, Buffer.from([0xff, 0xd9])]));
const box = (type: string, body: Uint8Array, length = body.length + 8): Buffer =>
  Buffer.concat([be(4, length), Buffer.from(type), body]);
const signature = box('jP  ', Buffer.from([13, 10, 0x87, 10]));

const table = Buffer.alloc(0);
const jfif = segment(0xffe0, Buffer.from('JFIF\0\x01\x01\0\0\x01\0\x01\0\0'));

const frames: readonly { name: string; fragments: readonly Buffer[]; want: readonly string[] }[] = [
  {
    name: 'JPEG with a comment',
    fragments: [jpeg(jfif, com('ONE'))],
    want: ['JPEG APP0', 'JPEG COM ONE'],
  },
  {
    name: 'fill bytes before a marker',
    fragments: [jpeg(Buffer.from([0xff, 0xff]), com('ONE'))],
    want: ['JPEG COM ONE'],
  },
  {
    name: 'two frames, the first in two fragments',
    fragments: [
      jpeg(com('A long comment that is cut')).subarray(0, 14),
      jpeg(com('A long comment that is cut')).subarray(14),
      jpeg(com('TWO')),
    ],
    want: ['JPEG COM A long comment that is cut', 'JPEG COM TWO'],
  },
  {
    name: 'a comment that claims to be longer than its frame',
    fragments: [
      even(Buffer.concat([soi, be(2, 0xfffe), be(2, 5000), Buffer.from('SHORT')])),
      jpeg(),
    ],
    want: ['JPEG COM SHORT'],
  },
  {
    name: 'JPEG 2000, in the main header and in a tile',
    fragments: [codestream(j2kComment('ONE'), tile(0), tile(1, j2kComment('TWO')), tile(2))],
    want: ['JPEG 2000 COM ONE', 'JPEG 2000 COM TWO'],
  },
  {
    name: 'JP2 boxes before and behind the code stream',
    fragments: [
      even(
        Buffer.concat([
          signature,
          box('uuid', Buffer.from('ONE')),
          box('jp2c', codestream(j2kComment('TWO'), tile(0))),
          box('xml ', Buffer.from('TRE')),
        ]),
      ),
    ],
    want: ['box uuid ONE', 'JPEG 2000 COM TWO', 'box xml TRE'],
  },
  {
    name: 'a box without an end',
    fragments: [even(Buffer.concat([signature, box('xml ', Buffer.from('ONE'), 0)]))],
    want: ['box xml'],
  },
  {
    name: 'JPEG with comments between and behind its scans',
    fragments: [
      jpegThen(com('ONE'), segment(0xffda, Buffer.alloc(6)), scan, com('TWO'), eoi, text('\0\0')),
    ],
    want: ['JPEG COM ONE', 'JPEG COM TWO'],
  },
  {
    name: 'JPEG with a text behind its end',
    fragments: [jpegThen(eoi, text('\0 ONE '))],
    want: ['behind the image ONE'],
  },
  {
    name: 'JPEG with a text behind its end, in a fragment of its own',
    fragments: [jpegThen(eoi), text('ONE ')],
    want: ['behind the image ONE'],
  },
  {
    name: 'JPEG with a text between its segments',
    fragments: [jpegThen(com('ONE'), text('TWO!'))],
    want: ['JPEG COM ONE', 'JPEG, between its segments TWO!'],
  },
  {
    name: 'two JPEG images in one fragment',
    fragments: [jpegThen(eoi, jpeg(com('ONE')), eoi, Buffer.from([0xff, 0xff]))],
    want: ['JPEG COM ONE'],
  },
  {
    name: 'a JPEG segment that no image of ours needs',
    fragments: [jpeg(segment(0xfff1, 'ONE'))],
    want: ['JPEG segment ONE'],
  },
  {
    name: 'a text in front of the first image',
    fragments: [text('ONE!'), jpeg(com('TWO'))],
    want: ['in front of the image ONE!', 'JPEG COM TWO'],
  },
  {
    name: 'JPEG 2000 that does not say how long its last tile is',
    fragments: [
      even(
        Buffer.concat([
          Buffer.from([0xff, 0x4f]),
          siz,
          segment(0xff90, Buffer.alloc(8)),
          Buffer.from([0xff, 0x93, 1, 0xff, 0x20, 2]),
          eoi,
          text('ONE'),
        ]),
      ),
    ],
    want: ['behind the image ONE'],
  },
  {
    name: 'a JPEG 2000 segment that nobody knows',
    fragments: [codestream(segment(0xff6f, 'ONE'), tile(0))],
    want: ['JPEG 2000 segment ONE'],
  },
  {
    name: 'boxes inside the header box of JP2, and padding behind the last one',
    fragments: [
      even(
        Buffer.concat([
          signature,
          box(
            'jp2h',
            Buffer.concat([
              box('ihdr', Buffer.alloc(14)),
              box('colr', text('ONE')),
              box('uuid', text('TWO')),
            ]),
          ),
          box('jp2c', codestream(tile(0))),
          Buffer.alloc(17),
        ]),
      ),
    ],
    want: ['box colr ONE', 'box uuid TWO'],
  },
  {
    name: 'a header of an image that is longer than one',
    fragments: [even(Buffer.concat([signature, box('jp2h', box('ihdr', text('x'.repeat(15))))]))],
    want: ['box ihdr xxxxxxxxxxxxxxx'],
  },
  { name: 'RLE', fragments: [Buffer.from([1, 0, 0, 0, 64, 0, 0, 0])], want: [] },
  {
    name: 'an empty fragment',
    fragments: [Buffer.alloc(0), jpeg(com('ONE'))],
    want: ['JPEG COM ONE'],
  },
];

for (const { name, fragments, want } of frames) {
  for (const [how, cut] of Object.entries(threeWays)) {
    void t.test(`finds what is beside the pixels: ${name}, ${how}`, async (t) => {
      const comments = new ImageComments(name !== 'RLE');
      const found = cut(fragmentBytes([table, ...fragments])).flatMap((piece) =>
        comments.push(piece),
      );
      const told = found.map(({ where, bytes }) => {
        const text = Buffer.from(bytes)
          .toString('latin1')
          .replaceAll(/[^ -~]/g, '');
        return where === 'JPEG APP0' ? where : `${where} ${text}`.trim();
      });
      t.same(told, want);
    });
  }
}

// --- what is thought of it -----------------------------------------------------------------------------------

const opinions: readonly (readonly [
  where: string,
  text: string | Uint8Array,
  want: CommentKind,
])[] = [
  ['JPEG 2000 COM', '\0\x01Kakadu-2.2', 'harmless'],
  ['JPEG 2000 COM', '\0\x01Kakadu-v7.10.2', 'harmless'],
  ['JPEG 2000 COM', '\0\x01Created by GDCM/OpenJPEG version 2.3.1', 'harmless'],
  ['JPEG 2000 COM', '\0\x01Created by OpenJPEG version 2.3.1 for ANNA', 'identifying'],
  ['JPEG 2000 COM', '\0\x01Kakadu-3.1 bed 7', 'unknown'],
  ['JPEG 2000 COM', '\0\x01Creator: JasPer Version 1.701.0', 'harmless'],
  ['JPEG COM', 'LEAD Technologies Inc. V1.01\0', 'harmless'],
  ['JPEG COM', 'CREATOR: gd-jpeg v1.0 (using IJG JPEG v62), quality = 90\n', 'harmless'],
  ['JPEG COM', 'Ward 7', 'unknown'],
  ['JPEG COM', '\x01\x02\x03', 'harmless'],
  ['JPEG COM', 'MRN0012345', 'identifying'],
  ['JPEG COM', 'scanned 29.02.2024', 'identifying'],
  ['JPEG COM', gb18030('患者 王小东'), 'identifying'],
  ['JPEG COM', gb18030('七号病房'), 'unknown'],
  ['JPEG APP1', 'Exif\0\0MM', 'unknown'],
  ['JPEG APP0', 'JFIF\0\x01\x01\0\0\x01\0\x01\0\0', 'harmless'],
  ['JPEG APP0', 'JFIF\0\x01\x01\0\0\x01\0\x01\x02\x02and a picture', 'unknown'],
  ['JPEG APP14', 'Adobe\0e\0\0\0\0\0', 'harmless'],
  ['JPEG APP2', 'ICC_PROFILE\0\x01\x01 Display P3', 'harmless'],
  ['JPEG APP2', 'ICC_PROFILE\0\x01\x01 MRN0012345', 'identifying'],
  ['JPEG APP8', 'mrfx\x01', 'harmless'],
  ['box uuid', '', 'unknown'],
  ['behind the image', 'Ward 7', 'unknown'],
  ['behind the image', 'QE(Q', 'harmless'],
  ['in front of the image', 'Ward 7\0\0', 'unknown'],
  ['in front of the image', '\x01\x91fg3\x80\xff\x03Zy4t\0\x02\xa1', 'harmless'],
  ['in front of the image', '\x01\x91\x92\x80\xffMRN0012345', 'identifying'],
  ['behind the image', '\x01\x02', 'harmless'],
  ['box colr', 'sRGB profile', 'harmless'],
  ['box colr', 'made for MRN0012345', 'identifying'],
  ['box xml', '<a>MRN0012345</a>', 'identifying'],
];

void t.test('a comment is an encoder, unknown, or names the patient', async (t) => {
  const patientName = gb18030('TEST^ANNA=王^小东');
  const { header } = await walked(ctSlice({ charset: 'GB18030', patientName }));
  const terms = collectTerms(header);
  for (const [where, text, want] of opinions) {
    const bytes = typeof text === 'string' ? Buffer.from(text, 'latin1') : text;
    t.equal(
      judgeComment({ where, bytes }, terms),
      want,
      `${where} ${JSON.stringify(Buffer.from(bytes).toString('latin1'))}`,
    );
  }
});

const permissive = 'extends: basic\nburnedIn: allow\n';
const ways: readonly (readonly [
  name: string,
  text: string,
  yaml: string,
  reason: string | undefined,
])[] = [
  ["an encoder's line passes", 'LEAD Technologies Inc. V1.01', 'extends: basic\n', undefined],
  ['an unknown text holds the file', 'Ward 7', 'extends: basic\n', 'burned-in'],
  ['unless the project allows text in pixels', 'Ward 7', permissive, undefined],
  ['the patient is never allowed', 'TEST^ANNA', permissive, 'leak-check'],
];
for (const [name, text, yaml, reason] of ways) {
  void t.test(`a comment in a file: ${name}`, async (t) => {
    const pipeline = makePipeline(yaml);
    t.teardown(() => pipeline.end());
    const file = ctSlice({
      transferSyntax: syntaxes.jpegBaseline,
      pixels: { fragments: [table, jpeg(com(text))] },
    });
    const { outcome, clean } = await pipeline.send(file, 'x.dcm');
    if (reason === undefined) {
      t.ok(clean?.includes(jpeg(com(text))), 'bit for bit');
      return;
    }
    t.match(outcome, { kind: 'held', reason, detail: '(7FE0,0010), JPEG COM' });
    t.equal(clean, undefined, 'nothing is left on the disk');
  });
}

const videoWays: typeof ways = [
  ['a video is held, whatever it says', 'x264 - core 155', 'extends: basic\n', 'burned-in'],
  ['unless the project allows text in pixels', 'x264 - core 155', permissive, undefined],
  ['its ID is never allowed', 'title MRN0012345 ', permissive, 'leak-check'],
  ['nor its name', 'by TEST ANNA', permissive, 'leak-check'],
];
for (const [name, text, yaml, reason] of videoWays) {
  for (const before of [0, 4, 65_530]) {
    void t.test(`a text in a video: ${name}, behind ${before} bytes`, async (t) => {
      const pipeline = makePipeline(yaml);
      t.teardown(() => pipeline.end());
      const stream = even(
        Buffer.concat([Buffer.alloc(before, 1), Buffer.from(`\0\0\x01\xb2${text}`)]),
      );
      const transferSyntax = '1.2.840.10008.1.2.4.102';
      const file = ctSlice({ transferSyntax, pixels: { fragments: [table, stream] } });
      const { outcome, clean } = await pipeline.send(file, 'x.dcm');
      if (reason === undefined) return t.ok(clean?.includes(stream), 'bit for bit');
      t.match(outcome, { kind: 'held', reason });
      return t.equal(clean, undefined, 'nothing is left on the disk');
    });
  }
}
