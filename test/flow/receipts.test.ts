// What a sender reads about an upload, where the list of what was left out is very long.

import t from 'tap';
import { receiptText } from '../../src/flow/receipts.ts';

void t.test('a receipt tells each of very many files that were left out', async (t) => {
  const exclusions = Array.from({ length: 150_000 }, (_, n) => ({
    index: n,
    name: `${n}.pdf`,
    reason: 'dropped-other' as const,
  }));
  const nothing = { reason: undefined, detail: undefined, deliveredAt: undefined };
  const text = receiptText('PUHSC', {
    uploadId: 'u1',
    project: 'brain',
    member: 'alice',
    path: 'ji_brain/alice/gpg/a.zip',
    kind: 'intake',
    shortId: '0123abcd',
    sizeBytes: 3,
    createdAt: 0,
    updatedAt: 0,
    sha256: undefined,
    isOvertaken: false,
    receipt: undefined,
    jobs: [
      {
        ...{ ...nothing, partner: 'UMHS', state: 'published', exclusions, output: 'gpg-alice/x' },
        ...{ outputBytes: 3, publishedAt: 0, evidence: undefined, signedBy: undefined },
        deliveryReason: undefined,
      },
    ],
  });
  t.match(text, 'Left out: 150,000 files of the zip.');
  t.match(text, '\n  - 149999.pdf: ');
});
