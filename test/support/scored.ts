// Sends files through a project and counts what came of them: for `npm run bench -- score` and the test of the same name.

import { decodeText } from '../../src/core/dicom/text.ts';
import { makePipeline } from './pipeline.ts';
import { plantedFiles } from './score-files.ts';
import { Score } from './score.ts';
import { walkAll, type Walked } from './walk.ts';
import { profileOf } from './deid.ts';

export interface ScoreFile {
  readonly name: string;
  readonly bytes: Uint8Array;
}

export interface ScoredFile extends ScoreFile {
  /** The clean file. */
  readonly clean: Buffer;
}

export interface Scoring {
  readonly results: ReturnType<Score['results']>;
  readonly passed: readonly ScoredFile[];
  /** Names of files that were held or left, with the reason: they lose all their points in MIDI-B. */
  readonly lost: readonly string[];
}

/** `profile`: a shipped profile; files with text in their pixels and without an ID go through too. */
export async function scoreOf(profile: string, files: readonly ScoreFile[]): Promise<Scoring> {
  const yaml = `extends: ${profile}\nburnedIn: allow\nnoPatientId: study\n`;
  const pipeline = makePipeline(yaml);
  const score = new Score(profileOf(yaml).options);
  const passed: ScoredFile[] = [];
  const lost: string[] = [];
  try {
    for (const file of [...files, ...plantedFiles()]) {
      const { outcome, clean } = await pipeline.send(file.bytes, file.name);
      if (clean === undefined) {
        lost.push(`${file.name}: ${'reason' in outcome ? outcome.reason : outcome.kind}`);
        continue;
      }
      passed.push({ ...file, clean });
      const [before, after] = [await walkAll([file.bytes]), await walkAll([clean])];
      const subjectCode = textAt(after, 0x00100020);
      const subject = [...pipeline.subjects.values()].find(({ code }) => code === subjectCode);
      const dateOffsetDays = subject?.dateOffsetDays ?? 0;
      score.add({ name: file.name, original: before, clean: after, dateOffsetDays, subjectCode });
      if ('gone' in file) countPlanted(score, file, after, clean, profile);
    }
  } finally {
    pipeline.end();
  }
  return { results: score.results(), passed, lost };
}

function countPlanted(
  score: Score,
  file: ReturnType<typeof plantedFiles>[number],
  after: Walked,
  clean: Buffer,
  profile: string,
): void {
  for (const marker of file.gone)
    score.count('text_removed', !clean.includes(Buffer.from(marker)), file.name);
  if (profile !== 'research-ct-mr') return;
  for (const [tag, text] of file.keep) {
    const place = `${file.name} ${tag.toString(16).padStart(8, '0')}`;
    score.count('text_retained', textAt(after, tag) === text, place);
  }
}

function textAt({ header }: Walked, tag: number): string {
  const text = (wanted: number, charset: readonly string[]): string => {
    const element = header.elements.find((one) => one.tag === wanted);
    return element?.kind === 'value' ? decodeText(element.value, charset, 'LO').trim() : '';
  };
  return text(tag, text(0x00080005, []).split('\\'));
}

/** Percent, cut and not rounded: 100.00 is all of them. */
export const percent = ({ right, total }: { right: number; total: number }): string =>
  total === 0 ? '–' : (Math.floor((10_000 * right) / total) / 100).toFixed(2);
