// Asks another Clubhouse for its delivery receipt (see sftp-server/delivery-receipts) and believes nothing of it that the
// pinned host key did not sign.

import { randomBytes } from 'node:crypto';
import {
  deliveryReceiptName,
  isReceiptFor,
  type DeliveryReceipt,
  type ExpectedDelivery,
} from '../../core/delivery-receipt.ts';
import { AppError } from '../../core/errors.ts';
import { RemoteStatus, type SftpChannel } from './channel.ts';
import { string, uint64, type Fields } from './wire.ts';

/** Undefined when the partner's host key is of a kind that it cannot sign with. */
export async function askReceipt(
  channel: SftpChannel,
  expected: Omit<ExpectedDelivery, 'nonce'>,
  pinned: string,
  patienceMs: number,
): Promise<DeliveryReceipt | undefined> {
  const nonce = randomBytes(16);
  const parts = [
    ...[string(expected.path), string(pinned), uint64(expected.sizeBytes)],
    ...[string(Buffer.from(expected.sha256, 'hex')), string(nonce)],
  ];
  let fields: Fields;
  try {
    fields = await channel.extended(deliveryReceiptName, parts, 'EXTENDED_REPLY', patienceMs);
  } catch (error) {
    if (!(error instanceof RemoteStatus) || error.code !== 'REMOTE_REFUSED') throw error;
    if (error.isUnsupported) return undefined;
    throw new AppError('REMOTE_RECEIPT', { detail: `status ${error.number}` });
  }
  const statement = fields.string().toString('utf8');
  const receipt = { statement, signature: Buffer.from(fields.string()) };
  const asked = { ...expected, nonce: nonce.toString('hex') };
  if (isReceiptFor(receipt, asked, pinned)) return receipt;
  throw new AppError('REMOTE_RECEIPT', {
    detail: 'not what was asked, or not signed by the pinned key',
  });
}
