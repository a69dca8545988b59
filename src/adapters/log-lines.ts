// Where the log's lines go: a descriptor, mostly standard output. pino's own way there ends the process when the disk behind it is
// full, and then waits for room without end in the process's last moment. The log is not worth the uploads: what cannot
// be written is left out, counted, and told when there is room again.

import fs from 'node:fs';

/** Kept for a reader that is slow. */
const mostWaiting = 1000;
const againMs = 100;

export interface Lines {
  write(line: string): void;
}

type Write = (fd: number, text: string) => number;

/** `later` calls once, after a while. */
export function createLines(
  fd: number,
  write: Write = (to, text) => fs.writeSync(to, text),
  later: (run: () => void, ms: number) => unknown = (run, ms) => setTimeout(run, ms).unref(),
): Lines {
  let waiting: string[] = [];
  let lost = 0;
  /** A line stopped in its middle. */
  let isCut = false;
  let isComing = false;

  /** True when it is written; false when it is to be tried again; what will not be is counted. */
  const put = (text: string): boolean => {
    try {
      const bytes = Buffer.byteLength(text);
      const count = write(fd, text);
      isCut = count < bytes;
      if (isCut) lost += 1;
      return true;
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? error.code : undefined;
      if (code === 'EAGAIN') return false;
      lost += 1;
      return true;
    }
  };
  const tell = (): void => {
    if (lost === 0) return;
    const before = lost;
    lost = 0;
    const time = new Date().toISOString();
    const text = JSON.stringify({
      level: 'warn',
      time,
      lines: before,
      msg: 'lines of the log are lost',
    });
    if (!put(`${isCut ? '\n' : ''}${text}\n`) || lost > 0) lost = before;
  };
  const flush = (): void => {
    while (waiting.length > 0) {
      tell();
      const [line = ''] = waiting;
      if (!put(isCut ? `\n${line}` : line)) break;
      waiting = waiting.slice(1);
    }
    if (waiting.length === 0 || isComing) return;
    isComing = true;
    later(() => {
      isComing = false;
      flush();
    }, againMs);
  };
  return {
    write: (line) => {
      if (waiting.length >= mostWaiting) lost += 1;
      else waiting.push(line);
      flush();
    },
  };
}
