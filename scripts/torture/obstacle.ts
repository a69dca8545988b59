// Something in the way at the partner: a link in the place of the folder that sealed files go to. What is sent there is refused,
// file by file, until it is gone; the line and the rest of the partner are well.

import { rename, rm, symlink } from 'node:fs/promises';

export class Obstacle {
  readonly #folder: string;
  #isUp = false;

  constructor(folder: string) {
    this.#folder = folder;
  }

  async put(): Promise<void> {
    if (this.#isUp) return;
    this.#isUp = true;
    // Before the first file there is no folder yet.
    await rename(this.#folder, this.#aside).catch(() => undefined);
    await symlink('nowhere', this.#folder).catch(() => undefined);
  }

  async clear(): Promise<void> {
    if (!this.#isUp) return;
    this.#isUp = false;
    await rm(this.#folder, { force: true });
    await rename(this.#aside, this.#folder).catch(() => undefined);
  }

  get #aside(): string {
    return `${this.#folder}-aside`;
  }
}
