// SSH keys: makes the host's and the replicator's, reads those of members and partners.

import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import type { ParsedKey } from 'ssh2';
import { AppError } from '../core/errors.ts';
import { fingerprintOfBlob } from '../core/sshsig.ts';
import { readSecurityKey } from '../core/security-key.ts';
import type { SshKey, SshKeys } from '../flow/ports/directory.ts';
import { writeNew } from './whole-file.ts';

/** ssh2 and its crypto take time to load, which commands that read no key need not pay. */
const ssh = (): (typeof import('ssh2'))['utils'] =>
  (createRequire(import.meta.url) as (name: 'ssh2') => typeof import('ssh2'))('ssh2').utils;

export interface SshKeyPair {
  /** OpenSSH's own format, PEM. */
  readonly private: string;
  /** One line, as in authorized_keys. */
  readonly public: string;
}

const mostTries = 20;

/**
 * A key pair in OpenSSH's format that is known to work: about one in 500 of those that ssh2 makes cannot be read
 * again, and a host key that cannot sign shows only when the first client comes.
 */
export function makeWorkingPair(
  kind: 'ed25519' | 'rsa',
  comment: string,
  generate: () => SshKeyPair = () =>
    kind === 'rsa'
      ? ssh().generateKeyPairSync('rsa', { bits: 3072, comment })
      : ssh().generateKeyPairSync('ed25519', { comment }),
): SshKeyPair {
  for (let tries = 0; tries < mostTries; tries += 1) {
    const pair = generate();
    const probe = randomBytes(16);
    const signer = only(ssh().parseKey(pair.private));
    const reader = only(ssh().parseKey(pair.public));
    if (signer !== undefined && reader?.verify(probe, signer.sign(probe)) === true) return pair;
  }
  throw new AppError('INTERNAL', { detail: 'no SSH key that works could be made; run init again' });
}

/** Makes a key pair: PATH (0600) and, when `withPublic`, PATH.pub. Refuses to overwrite. */
export async function makeSshKey(
  path: string,
  kind: 'ed25519' | 'rsa',
  options: { readonly comment: string; readonly withPublic: boolean },
): Promise<void> {
  const pair = makeWorkingPair(kind, options.comment);
  await writeNew(path, pair.private);
  if (options.withPublic) await writeNew(`${path}.pub`, `${pair.public}\n`);
}

/** The fingerprint of the key pair in a private key file. Throws CONFIG_INVALID. */
export async function fingerprintOfFile(path: string, shownAs: string): Promise<string> {
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    throw new AppError('CONFIG_INVALID', { cause, detail: `${shownAs} cannot be read` });
  });
  const key = only(ssh().parseKey(text));
  if (key === undefined) {
    throw new AppError('CONFIG_INVALID', { detail: `${shownAs} is not an SSH key` });
  }
  return fingerprintOfBlob(key.getPublicSSH());
}

export const sshKeys: SshKeys = { parse: parsePublicKey };

function parsePublicKey(text: string): SshKey {
  const trimmed = text.trim();
  if (/PRIVATE KEY|^PuTTY-User-Key-File/.test(trimmed)) {
    throw refuse('this is a private key, which must never leave its owner; give the public half');
  }
  const isRfc4716 = trimmed.startsWith('---- BEGIN SSH2 PUBLIC KEY ----');
  const lines = trimmed
    .split(/\r?\n/)
    .filter((line) => line.trim() !== '' && !line.startsWith('#'));
  if (trimmed.startsWith('-----BEGIN PGP ')) {
    throw refuse('this is an OpenPGP key; an SSH public key is one line such as ssh-ed25519 AAAA…');
  }
  if (!isRfc4716 && lines.length > 1)
    throw refuse('the file holds several keys; give one at a time');
  const line = isRfc4716 ? oneLine(lines) : (lines[0] ?? '');
  const { rest, sources } = optionsOf(line);
  const { algorithm, blob, comment } = tokenOf(rest) ?? keyOf(rest);
  if (algorithm === 'ssh-dss') throw refuse('DSA keys are too weak; make an ed25519 key');
  if (algorithm === 'ssh-rsa' && rsaBits(blob) < 2048) {
    throw refuse('RSA keys under 2048 bits are too weak; make an ed25519 key');
  }
  return {
    fingerprint: fingerprintOfBlob(blob),
    algorithm,
    blob: blob.toString('base64'),
    comment,
    ...(sources === undefined ? {} : { sources }),
  };
}

interface PublicKey {
  readonly algorithm: string;
  readonly blob: Buffer;
  readonly comment: string;
}

function keyOf(line: string): PublicKey {
  const key = only(ssh().parseKey(line));
  if (key === undefined) throw refuse('this is not an SSH public key');
  return { algorithm: key.type, blob: key.getPublicSSH(), comment: key.comment ?? '' };
}

/** A key in a security token, which ssh2 does not know; undefined for any other. */
function tokenOf(line: string): PublicKey | undefined {
  const [algorithm = '', text = '', ...comment] = line.split(/\s+/);
  if (!algorithm.startsWith('sk-')) return undefined;
  const blob = Buffer.from(text, 'base64');
  const key = readSecurityKey(blob);
  if (key?.kind !== algorithm) throw refuse('this is not an SSH public key of a security token');
  return { algorithm, blob, comment: comment.join(' ') };
}

/**
 * What sshd(8) calls options, in front of the key: `from="10.0.0.0/8,192.0.2.7" ssh-ed25519 …`. `restrict` is what we do
 * anyway; anything else would be dropped in silence, so it is refused.
 */
function optionsOf(line: string): { rest: string; sources: readonly string[] | undefined } {
  let rest = line.trim();
  let sources: readonly string[] | undefined;
  for (;;) {
    const [all, name = '', value] = /^([a-z-]+)(?:="([^"]*)")?(?:,|\s+)/i.exec(rest) ?? [];
    if (all === undefined || /^(ssh|ecdsa|sk)-/.test(name)) return { rest, sources };
    if (/^from$/i.test(name) && value !== undefined) {
      // One that is empty or stands there twice would widen in silence what sshd keeps narrow.
      if (sources !== undefined) throw refuse('the key has the option from="…" more than once');
      sources = value.split(',').filter((one) => one !== '');
      if (sources.length === 0) throw refuse('the key’s option from="…" names no network');
    } else if (!/^(restrict|no-.*)$/i.test(name)) {
      throw refuse(`the key's option ${name} is not offered; from="…" is`);
    }
    rest = rest.slice(all.length);
  }
}

/** RFC 4716 §3 as a line of authorized_keys; ssh2 does not read every header that ssh-keygen writes. */
function oneLine(lines: readonly string[]): string {
  let isHeader = false;
  const body = lines.slice(1, -1).filter((line) => {
    const wasContinued = isHeader;
    isHeader = (wasContinued || line.includes(':')) && line.endsWith('\\');
    return !wasContinued && !line.includes(':');
  });
  const blob = Buffer.from(body.join(''), 'base64');
  const typeLength = blob.length < 4 ? 0 : blob.readUInt32BE(0);
  return `${blob.toString('latin1', 4, 4 + typeLength)} ${blob.toString('base64')}`;
}

const refuse = (detail: string): AppError => new AppError('BAD_INPUT', { detail });

function only(parsed: ParsedKey | Error | readonly ParsedKey[]): ParsedKey | undefined {
  if (parsed instanceof Error) return undefined;
  return Array.isArray(parsed) ? (parsed as ParsedKey[])[0] : (parsed as ParsedKey);
}

/** Bits of the modulus: the third field of the wire form (RFC 4253 §6.6). */
function rsaBits(blob: Buffer): number {
  let at = 0;
  for (let field = 0; field < 2; field += 1) at += 4 + blob.readUInt32BE(at);
  const length = blob.readUInt32BE(at);
  const leading = blob[at + 4] === 0 ? 1 : 0;
  return (length - leading) * 8;
}
