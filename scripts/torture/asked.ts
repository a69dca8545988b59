// What a client of a torture run asks for, as promises: each ends with an answer, or with an error when none comes.

import type ssh2 from 'ssh2';
import type { SFTPWrapper } from 'ssh2';

type Done<T> = (error: Error | null | undefined, value?: T) => void;

/** An answer that never comes is a broken line too. */
const asked = <T>(ask: (done: Done<T>) => void): Promise<T> =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('no answer')), 20_000);
    ask((error, value) => {
      clearTimeout(timer);
      if (error == null) resolve(value as T);
      else reject(error);
    });
  });

export const open = (sftp: SFTPWrapper, path: string, how: 'w' | 'r+'): Promise<Buffer> =>
  asked((done) => sftp.open(path, how, done));
export const close = (sftp: SFTPWrapper, handle: Buffer): Promise<void> =>
  asked((done) => sftp.close(handle, done));
export const write = (
  sftp: SFTPWrapper,
  handle: Buffer,
  bytes: Buffer,
  at: number,
  length: number,
): Promise<void> => asked((done) => sftp.write(handle, bytes, at, length, at, done));
export const setSize = (sftp: SFTPWrapper, handle: Buffer, size: number): Promise<void> =>
  asked((done) => sftp.fsetstat(handle, { size } as ssh2.InputAttributes, done));
export const renamed = (sftp: SFTPWrapper, from: string, to: string): Promise<void> =>
  asked((done) => sftp.rename(from, to, done));
export const list = async (sftp: SFTPWrapper, path: string): Promise<readonly string[]> => {
  const entries = await asked<ssh2.FileEntryWithStats[]>((done) => sftp.readdir(path, done));
  return entries.map(({ filename }) => filename);
};
export const read = async (sftp: SFTPWrapper, path: string): Promise<string> =>
  (await asked<Buffer>((done) => sftp.readFile(path, done))).toString();
export const removed = (sftp: SFTPWrapper, path: string): Promise<void> =>
  asked((done) => sftp.unlink(path, done));

const noSuchFile = 2;

export async function sizeOf(sftp: SFTPWrapper, path: string): Promise<number | undefined> {
  try {
    return (await asked<ssh2.Stats>((done) => sftp.stat(path, done))).size;
  } catch (error) {
    if ((error as { code?: unknown }).code === noSuchFile) return undefined;
    throw error;
  }
}
