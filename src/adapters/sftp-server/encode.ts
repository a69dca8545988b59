// SFTP version 3 on the wire, the way out: answers as bytes (draft-ietf-secsh-filexfer-02 §7).

import { errorCodes, type AppError, type ErrorCode, type SftpStatus } from '../../core/errors.ts';
import { attributeFlag, packetType } from './codec.ts';

const statusCode: Readonly<Record<SftpStatus, number>> = {
  OK: 0,
  EOF: 1,
  NO_SUCH_FILE: 2,
  PERMISSION_DENIED: 3,
  FAILURE: 4,
  BAD_MESSAGE: 5,
  NO_CONNECTION: 6,
  CONNECTION_LOST: 7,
  OP_UNSUPPORTED: 8,
};

/** Writes fields one behind the other: numbers as uint32, bigints as uint64, strings and bytes with their length. */
export function encode(
  type: number,
  ...fields: readonly (number | bigint | string | Uint8Array)[]
): Buffer {
  const sizes = fields.map((field) =>
    typeof field === 'number' ? 4 : typeof field === 'bigint' ? 8 : 4 + byteLength(field),
  );
  const length = sizes.reduce((sum, size) => sum + size, 1);
  const packet = Buffer.allocUnsafe(4 + length);
  packet.writeUInt32BE(length, 0);
  packet[4] = type;
  let at = 5;
  for (const [index, field] of fields.entries()) {
    if (typeof field === 'number') packet.writeUInt32BE(field, at);
    else if (typeof field === 'bigint') packet.writeBigUInt64BE(BigInt.asUintN(64, field), at);
    else {
      packet.writeUInt32BE(byteLength(field), at);
      packet.set(typeof field === 'string' ? Buffer.from(field) : field, at + 4);
    }
    at += sizes[index] as number;
  }
  return packet;
}

const byteLength = (value: string | Uint8Array): number =>
  typeof value === 'string' ? Buffer.byteLength(value) : value.length;

export const encodeStatus = (id: number, status: SftpStatus, text: string): Buffer =>
  encode(packetType.STATUS, id, statusCode[status], text, 'en');

/** The text is the code's own sentence: never a path, an errno or a cause. */
export const encodeFailure = (id: number, failure: AppError): Buffer =>
  encodeStatus(id, failure.status, textOf(failure));

const told: readonly ErrorCode[] = ['QUOTA_REACHED', 'ACCOUNT_EXPIRED', 'LOGIN_ENDED'];

/** Details are for the log, but for those that say what somebody has to do. */
export const textOf = ({ code, detail }: AppError): string => {
  const { text } = errorCodes[code];
  return told.includes(code) && detail !== undefined ? `${text} (${detail})` : text;
};

/** Attributes as fields for `encode`. */
export interface ShownAttributes {
  readonly sizeBytes: number;
  readonly mode: number;
  readonly accessedMs: number;
  readonly modifiedMs: number;
}

const seconds = (ms: number): number => Math.min(0xffffffff, Math.max(0, Math.floor(ms / 1000)));

export const attributeFields = (shown: ShownAttributes): readonly (number | bigint)[] => [
  attributeFlag.SIZE | attributeFlag.UIDGID | attributeFlag.PERMISSIONS | attributeFlag.ACMODTIME,
  BigInt(shown.sizeBytes),
  shownOwner,
  shownOwner,
  shown.mode,
  seconds(shown.accessedMs),
  seconds(shown.modifiedMs),
];

/** Owners are not the operating system's accounts, so every file shows the same one. */
export const shownOwner = 1000;
export const shownOwnerName = 'clubhouse';

/** Bytes before the data of a DATA packet: length, type, id, length of the data. */
export const dataHeaderBytes = 13;

/** Fills in the header of a DATA packet whose data lies behind it already, and cuts it to its size. */
export function finishData(packet: Buffer, id: number, dataBytes: number): Buffer {
  packet.writeUInt32BE(9 + dataBytes, 0);
  packet[4] = packetType.DATA;
  packet.writeUInt32BE(id, 5);
  packet.writeUInt32BE(dataBytes, 9);
  return packet.subarray(0, dataHeaderBytes + dataBytes);
}
