// A small disk of its own for a site, that a torture run fills to the last byte and frees again. Needs root and tmpfs; where
// that is not to be had, the site lies on the usual disk and nothing is filled.

import { execFileSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export class Disk {
  /** Where a site can be made. */
  readonly folder: string;
  readonly isSmall: boolean;
  #isFull = false;

  private constructor(folder: string, isSmall: boolean) {
    this.folder = folder;
    this.isSmall = isSmall;
  }

  static make(megabytes: number): Disk {
    const folder = mkdtempSync(join(tmpdir(), 'torture-disk-'));
    if (megabytes === 0) return new Disk(folder, false);
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m`, 'tmpfs', folder]);
      return new Disk(folder, true);
    } catch {
      return new Disk(folder, false);
    }
  }

  fill(): void {
    if (!this.isSmall || this.#isFull) return;
    this.#isFull = true;
    const file = openSync(join(this.folder, 'ballast'), 'w');
    const zeros = Buffer.alloc(65_536);
    try {
      for (;;) writeSync(file, zeros);
    } catch {
      // Full, which was the aim.
    } finally {
      closeSync(file);
    }
  }

  free(): void {
    this.#isFull = false;
    if (this.isSmall) rmSync(join(this.folder, 'ballast'), { force: true });
  }

  remove(): void {
    if (this.isSmall) execFileSync('umount', ['-l', this.folder]);
    rmSync(this.folder, { recursive: true, force: true });
  }
}
