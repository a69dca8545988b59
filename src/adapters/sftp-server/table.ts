// The protocol as a table: one row a request, with what it acts on and the right that it needs there. One function
// (dispatch.ts, `permitted`) asks for permission; what is not in the table is refused.

import { deliveryReceiptName } from '../../core/delivery-receipt.ts';
import type { ErrorCode } from '../../core/errors.ts';
import type { Place, Right } from '../../core/tree.ts';
import { packetType, type Reader } from './codec.ts';
import type { Context } from './context.ts';
import { deliveryReceipt } from './delivery-receipts.ts';
import type { Handle } from './handles.ts';
import * as extended from './requests-extended.ts';
import * as files from './requests-files.ts';
import * as paths from './requests-paths.ts';

/** How large the answer may get, where it may get large: not many are worked on at once then. */
type AnswerBytes = (rest: Reader) => number;

export type SftpRequest = { readonly name: string } & (
  | {
      /** One path; runs after every path request before it, so that a client's order holds. */
      readonly on: 'path';
      readonly right: Right | ((rest: Reader) => Right);
      /** Takes long and changes nothing: later requests do not wait for it. */
      readonly isLong?: true;
      readonly answerBytes?: AnswerBytes;
      run(context: Context, place: Place, rest: Reader, id: number): Promise<Buffer>;
    }
  /** Two paths; what is permitted says core/tree's permitRename. */
  | { readonly on: 'two paths'; readonly replace: boolean }
  | {
      /** A handle; runs after every request on that handle before it. */
      readonly on: 'handle';
      /** Asked of the handle's place, as it is now; `nothing` where having opened it is enough. */
      readonly right: Right | 'nothing';
      /** Reading: neighbours may run together. */
      readonly isParallel?: true;
      readonly answerBytes?: AnswerBytes;
      run(context: Context, handle: Handle, rest: Reader, id: number): Promise<Buffer>;
    }
  | { readonly on: 'write' }
  | { readonly on: 'close' }
  | {
      readonly on: 'nothing';
      run(context: Context, rest: Reader, id: number): Promise<Buffer>;
    }
  | { readonly on: 'refused'; readonly code: ErrorCode }
);

const byType = {
  OPEN: { name: 'OPEN', on: 'path', right: files.openRight, run: files.open },
  CLOSE: { name: 'CLOSE', on: 'close' },
  READ: { name: 'READ', on: 'handle', right: 'nothing', isParallel: true, run: files.read },
  WRITE: { name: 'WRITE', on: 'write' },
  LSTAT: { name: 'LSTAT', on: 'path', right: 'see', run: paths.stat },
  FSTAT: { name: 'FSTAT', on: 'handle', right: 'nothing', run: files.fstat },
  SETSTAT: { name: 'SETSTAT', on: 'path', right: 'attributes', run: paths.setstat },
  FSETSTAT: { name: 'FSETSTAT', on: 'handle', right: 'attributes', run: files.fsetstat },
  OPENDIR: { name: 'OPENDIR', on: 'path', right: 'see', run: paths.opendir },
  READDIR: {
    name: 'READDIR',
    on: 'handle',
    right: 'nothing',
    answerBytes: () => 1 << 16,
    run: paths.readdir,
  },
  REMOVE: { name: 'REMOVE', on: 'path', right: 'remove', run: paths.remove },
  MKDIR: { name: 'MKDIR', on: 'path', right: 'make', run: paths.mkdir },
  RMDIR: { name: 'RMDIR', on: 'path', right: 'remove', run: paths.rmdir },
  REALPATH: { name: 'REALPATH', on: 'path', right: 'see', run: paths.realpath },
  STAT: { name: 'STAT', on: 'path', right: 'see', run: paths.stat },
  RENAME: { name: 'RENAME', on: 'two paths', replace: false },
  READLINK: { name: 'READLINK', on: 'refused', code: 'NO_LINKS' },
  SYMLINK: { name: 'SYMLINK', on: 'refused', code: 'NO_LINKS' },
} satisfies Record<string, SftpRequest>;

const byName = {
  'posix-rename@openssh.com': { name: 'posix-rename', on: 'two paths', replace: true },
  'fsync@openssh.com': { name: 'fsync', on: 'handle', right: 'nothing', run: files.fsync },
  'statvfs@openssh.com': { name: 'statvfs', on: 'path', right: 'see', run: extended.statvfs },
  'fstatvfs@openssh.com': {
    name: 'fstatvfs',
    on: 'handle',
    right: 'nothing',
    run: extended.fstatvfs,
  },
  'lsetstat@openssh.com': {
    name: 'lsetstat',
    on: 'path',
    right: 'attributes',
    run: paths.setstat,
  },
  'limits@openssh.com': { name: 'limits', on: 'nothing', run: extended.limits },
  'expand-path@openssh.com': { name: 'expand-path', on: 'nothing', run: extended.expandPath },
  'home-directory': { name: 'home-directory', on: 'nothing', run: extended.homeDirectory },
  'users-groups-by-id@openssh.com': {
    name: 'users-groups-by-id',
    on: 'nothing',
    run: extended.usersGroupsById,
  },
  'check-file-name': {
    name: 'check-file-name',
    on: 'path',
    right: 'read',
    isLong: true,
    answerBytes: extended.hashesBytes,
    run: extended.checkFileName,
  },
  'check-file-handle': {
    name: 'check-file-handle',
    on: 'handle',
    right: 'nothing',
    answerBytes: extended.hashesBytes,
    run: extended.checkFileHandle,
  },
  [deliveryReceiptName]: {
    name: 'delivery-receipt',
    on: 'path',
    right: 'read',
    isLong: true,
    run: deliveryReceipt,
  },
  'hardlink@openssh.com': { name: 'hardlink', on: 'refused', code: 'NO_LINKS' },
  'copy-data': { name: 'copy-data', on: 'refused', code: 'UNSUPPORTED' },
} satisfies Record<string, SftpRequest>;

const types: ReadonlyMap<number, SftpRequest> = new Map(
  Object.entries(byType).map(([name, row]) => [packetType[name as keyof typeof byType], row]),
);
const names: ReadonlyMap<string, SftpRequest> = new Map(Object.entries(byName));
const unknown: SftpRequest = { name: 'unknown', on: 'refused', code: 'UNSUPPORTED' };

/** The row of a packet; for EXTENDED the name is read off the body first. */
export function requestOf(type: number, body: Reader): SftpRequest {
  if (type === packetType.EXTENDED) return names.get(body.text()) ?? unknown;
  return types.get(type) ?? unknown;
}

/** For tests: every request there is. */
export const allRequests: readonly SftpRequest[] = [...types.values(), ...names.values()];
