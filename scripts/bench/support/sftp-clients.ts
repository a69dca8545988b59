// The programs that move files in the SFTP bench, each started as a person would start it. Never through a shell.

import { spawn } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Target } from './sftp-servers.ts';

export type Client = (target: Target, folder: string, port?: number) => Promise<void>;

function runProgram(
  program: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { ...process.env, ...env },
    });
    let errors = '';
    child.stderr.on('data', (text: Buffer) => (errors = (errors + String(text)).slice(-600)));
    child.once('error', reject);
    child.once('close', (code) => {
      if (code === 0) resolve();
      else reject(new Error(`${program} ended with ${String(code)}: ${errors}`));
    });
  });
}

const trusting = ['-o', 'StrictHostKeyChecking=no', '-o', 'UserKnownHostsFile=/dev/null'];
const sshOptions = ({ keyFile }: Target): readonly string[] => [
  ...trusting,
  ...['-o', 'LogLevel=ERROR', '-o', 'IdentitiesOnly=yes', '-F', '/dev/null', '-i', keyFile],
];

let batches = 0;

/** OpenSSH's sftp with these lines of a batch. */
export async function sftp(
  target: Target,
  lines: readonly string[],
  how: { readonly folder: string; readonly cipher?: string; readonly port?: number },
): Promise<void> {
  batches += 1;
  const batch = join(how.folder, `batch-${batches}`);
  await writeFile(batch, `${lines.join('\n')}\n`);
  const cipher = how.cipher ?? 'aes128-gcm@openssh.com';
  await runProgram('sftp', [
    ...['-q', '-b', batch, '-c', cipher, '-P', String(how.port ?? target.port)],
    ...sshOptions(target),
    `${target.user}@127.0.0.1`,
  ]);
}

/** rclone, a folder's content into another, eight files at a time. */
export const rclone = (target: Target, from: string, to: string): Promise<void> =>
  runProgram(
    'rclone',
    ['copy', from, `:sftp:${to}`, '--transfers', '8', '--config', '/dev/null'].concat([
      ...['--sftp-host', '127.0.0.1', '--sftp-port', String(target.port)],
      ...['--sftp-user', target.user, '--sftp-key-file', target.keyFile],
      // An internal-sftp alone has no shell either.
      ...['--sftp-shell-type', 'none', '--sftp-disable-hashcheck'],
    ]),
  );

/** lftp, the same with four connections. */
export const lftp = (target: Target, from: string, to: string): Promise<void> => {
  const connect = `ssh -a -x ${sshOptions(target).join(' ')}`;
  const script = [
    `set sftp:connect-program "${connect}"`,
    'set net:max-retries 2',
    `open -u ${target.user},none sftp://127.0.0.1:${target.port}`,
    `mirror -R -P 4 ${from} ${to}`,
    'bye',
  ].join('; ');
  return runProgram('lftp', ['-c', script]);
};
