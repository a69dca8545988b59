// `npm run gen`: makes every generated source file anew from ../shared/standard (or CLUBHOUSE_SHARED).

import { join } from 'node:path';
import { packageRoot } from '../src/package-root.ts';
import { genConfigSchema } from './gen-config-schema.ts';
import { genDeidTables } from './gen-deid-table.ts';
import { genDictionary } from './gen-dictionary.ts';

const sharedDir = process.env['CLUBHOUSE_SHARED'] ?? join(packageRoot, '..', 'shared');
await genDictionary(sharedDir, packageRoot);
await genDeidTables(sharedDir, packageRoot);
genConfigSchema();
