// Decrypts a backup with the administrator's own GnuPG, so that Clubhouse never sees the private key. No shell.

import { spawn } from 'node:child_process';
import { AppError } from '../../core/errors.ts';

/** The plaintext. Throws BAD_BACKUP with gpg's own last line when gpg is not content, at the end too. */
export async function* decryptWithGpg(
  path: string,
  passphrase: string | undefined,
): AsyncGenerator<Uint8Array> {
  const secret =
    passphrase === undefined
      ? []
      : ['--batch', '--pinentry-mode', 'loopback', '--passphrase-fd', '0'];
  const gpg = spawn('gpg', ['--quiet', '--no-tty', ...secret, '--decrypt', '--', path], {
    // Without a passphrase from us gpg's own agent asks for it.
    stdio: [passphrase === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
  });
  let said = '';
  gpg.stderr?.setEncoding('utf8').on('data', (text: string) => {
    said = `${said}${text}`.slice(-2000);
  });
  gpg.stdin?.on('error', () => undefined);
  gpg.stdin?.end(`${passphrase ?? ''}\n`);
  const ended = new Promise<number | null>((resolve, reject) => {
    gpg.on('error', reject);
    gpg.on('close', resolve);
  });
  // Heard of below; until then it must not count as unhandled.
  ended.catch(() => undefined);
  try {
    for await (const piece of gpg.stdout ?? []) yield piece as Uint8Array;
    const code = await ended.catch((cause: NodeJS.ErrnoException) => {
      const why =
        cause.code === 'ENOENT' ? 'is not installed here' : `cannot be run: ${cause.code}`;
      const detail = `gpg ${why}; name the file of the private key with --key`;
      throw new AppError('NOT_FOUND', { cause, detail });
    });
    if (code !== 0) {
      const reason = said.trim().split('\n').at(-1) ?? '';
      throw new AppError('BAD_BACKUP', { detail: `gpg could not decrypt the backup: ${reason}` });
    }
  } finally {
    gpg.kill();
  }
}
