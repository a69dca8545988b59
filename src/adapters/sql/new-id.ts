// Ids of rows: UUIDv7 (RFC 9562 §5.7), so that they sort by their making. Through the CommonJS build of uuid, which loads
// faster than its ES modules.

import { createRequire } from 'node:module';

export const newId: () => string = (
  createRequire(import.meta.url) as (name: 'uuid') => typeof import('uuid')
)('uuid').v7;
