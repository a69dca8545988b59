// The lengths of very many texts, for a search that tries each length once.

/** Of texts; a few dozen, however many texts there are. */
export class Lengths {
  readonly #all = new Set<number>();
  #sorted: readonly number[] = [];

  add(length: number): void {
    if (this.#all.has(length)) return;
    this.#all.add(length);
    this.#sorted = [...this.#all].sort((a, b) => a - b);
  }

  /** Ascending. */
  get sorted(): readonly number[] {
    return this.#sorted;
  }
}
