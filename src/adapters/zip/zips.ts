// The zip adapter as one value: what the flow is given.

import type { Zips } from '../../flow/ports/zip.ts';
import { openZip } from './reader.ts';
import { writeZip } from './writer.ts';

export const zips: Zips = { open: openZip, write: writeZip };
