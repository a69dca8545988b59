// Where the package's own data files are (shipped profiles, tables), whether the code runs from dist/ or as source.

import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const find = (folder: string): string => {
  if (existsSync(join(folder, 'package.json'))) return folder;
  return find(dirname(folder));
};

export const packageRoot: string = find(dirname(fileURLToPath(import.meta.url)));
