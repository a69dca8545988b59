// Where the shared corpus of public files is, for tests that use it when it is there.

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../../../src/package-root.ts';

const folder = join(process.env['CLUBHOUSE_SHARED'] ?? join(packageRoot, '..', 'shared'), 'corpus');

export interface CorpusFile {
  readonly name: string;
  readonly expected: 'deid' | 'either' | 'reject' | 'nondicom';
  readonly bytes: Uint8Array;
}

/** Empty where the corpus is not there. */
export function corpusFiles(): readonly CorpusFile[] {
  const manifest = join(folder, 'manifest.json');
  if (!existsSync(manifest)) return [];
  const rows = JSON.parse(readFileSync(manifest, 'utf8')) as {
    file: string;
    expected: CorpusFile['expected'];
  }[];
  return rows.map(({ file, expected }) => ({
    name: file,
    expected,
    bytes: readFileSync(join(folder, file)),
  }));
}
