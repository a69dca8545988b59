// What a partner states when a file of ours has arrived there: which file, how long, which content, when it was read from the
// disk. One text with one form, so that both sides sign and check the very same bytes.

import { signerOf } from './sshsig.ts';

/** Name of the SFTP extension, and the namespace of the signature: a signature for this purpose is good for no other. */
export const deliveryReceiptName = 'delivery-receipt@clubhouse';

export interface DeliveryStatement {
  /** The site that sent the file, and the one that has it. */
  readonly from: string;
  readonly to: string;
  /** As the sender named it there, absolute. Has no line break: the club house refuses such names. */
  readonly path: string;
  readonly sizeBytes: number;
  /** Lower-case hex. */
  readonly sha256: string;
  /** By the partner's clock, which may be wrong. */
  readonly verifiedAt: number;
  /** Lower-case hex, chosen by the sender: an old receipt is no answer to a new question. */
  readonly nonce: string;
}

/** A statement, and who signed it. Kept as it came, so that anybody can check it again. */
export interface DeliveryReceipt {
  readonly statement: string;
  /** SSHSIG, not armored. */
  readonly signature: Uint8Array;
}

const title = 'Clubhouse delivery receipt, version 1';

export const statementText = (facts: DeliveryStatement): string =>
  [
    title,
    `From: ${facts.from}`,
    `To: ${facts.to}`,
    `Path: ${facts.path}`,
    `Size: ${facts.sizeBytes}`,
    `SHA-256: ${facts.sha256}`,
    `Verified: ${new Date(facts.verifiedAt).toISOString()}`,
    `Nonce: ${facts.nonce}`,
    '',
  ].join('\n');

const form = new RegExp(
  `^${title}\nFrom: ([^\n]*)\nTo: ([^\n]*)\nPath: ([^\n]*)\nSize: (\\d{1,15})\nSHA-256: ([0-9a-f]{64})\n` +
    'Verified: (\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{3}Z)\nNonce: ([0-9a-f]{32})\n$',
);

/** Undefined when it is not such a text to its last byte. */
export function readStatement(text: string): DeliveryStatement | undefined {
  const [, from, to, path, size, sha256, verified, nonce] = form.exec(text) ?? [];
  if (from === undefined || to === undefined || path === undefined) return undefined;
  if (sha256 === undefined || verified === undefined || nonce === undefined) return undefined;
  const facts = { from, to, path, sizeBytes: Number(size), sha256, nonce };
  const statement = { ...facts, verifiedAt: Date.parse(verified) };
  return Number.isFinite(statement.verifiedAt) ? statement : undefined;
}

/** What we asked about. The time is the partner's to state. */
export type ExpectedDelivery = Omit<DeliveryStatement, 'verifiedAt'>;

/** Did the holder of the pinned key state just what we asked about? */
export function isReceiptFor(
  receipt: DeliveryReceipt,
  expected: ExpectedDelivery,
  pinned: string,
): boolean {
  const stated = readStatement(receipt.statement);
  if (stated === undefined) return false;
  const same = statementText({ ...expected, verifiedAt: stated.verifiedAt }) === receipt.statement;
  const message = Buffer.from(receipt.statement, 'utf8');
  return same && signerOf(receipt.signature, deliveryReceiptName, message) === pinned;
}
