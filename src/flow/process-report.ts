// Counts what was done, for the receipt and the audit: tags, actions and codes, no values.

import type { ActionCounts } from '../core/deid/deid-work.ts';
import type { ProcessReport } from './ports/processing.ts';

export class ReportBuilder {
  #files = 0;
  #dicomFiles = 0;
  /** Of one file alone, which most uploads are: its counts are the sum. */
  #only: ActionCounts | undefined;
  readonly #actions = new Map<string, Map<string, number>>();
  readonly #subjects = new Set<string>();

  addOther(): void {
    this.#files += 1;
  }

  addDicom(subjectCode: string, counts: readonly ActionCounts[]): void {
    this.#files += 1;
    this.#dicomFiles += 1;
    this.#subjects.add(subjectCode);
    const [first, ...others] = counts.filter((one) => Object.keys(one).length > 0);
    if (this.#dicomFiles === 1 && others.length === 0) {
      this.#only = first;
      return;
    }
    if (this.#only !== undefined) this.#add(this.#only);
    this.#only = undefined;
    for (const one of counts) this.#add(one);
  }

  build(): ProcessReport {
    const actions = [...this.#actions].map(
      ([tag, kinds]) => [tag, Object.fromEntries(kinds)] as const,
    );
    return {
      files: this.#files,
      dicomFiles: this.#dicomFiles,
      actions: this.#only ?? Object.fromEntries(actions),
      subjects: [...this.#subjects].sort(),
    };
  }

  #add(counts: ActionCounts): void {
    for (const [tag, kinds] of Object.entries(counts)) {
      const known = this.#actions.get(tag) ?? new Map<string, number>();
      this.#actions.set(tag, known);
      for (const [kind, count] of Object.entries(kinds)) {
        known.set(kind, (known.get(kind) ?? 0) + count);
      }
    }
  }
}
