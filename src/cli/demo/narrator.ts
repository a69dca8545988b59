// What the demo prints: numbered steps, the commands as an administrator would type them, and what came of them.

const width = 100;

export class Narrator {
  readonly #write: (text: string) => void;
  readonly #colour: boolean;
  #step = 0;

  constructor(write: (text: string) => void, colour: boolean) {
    this.#write = write;
    this.#colour = colour;
  }

  title(text: string): void {
    this.#write(`\n${this.#paint('1', text)}\n${'='.repeat(text.length)}\n`);
  }

  step(text: string): void {
    this.#step += 1;
    this.#write(`\n${this.#paint('1', `${this.#step}. ${text}`)}\n`);
  }

  say(text: string): void {
    for (const line of wrap(text, width - 3)) this.#write(`   ${line}\n`);
  }

  /** A command line, as it could be typed. `where`: whose prompt it is. */
  command(text: string, where = ''): void {
    this.#write(`   ${this.#paint('2', `${where}$`)} ${this.#paint('36', text)}\n`);
  }

  /** What a program printed, as it is. */
  output(text: string, atMost = 40): void {
    const lines = text.trimEnd().split('\n');
    for (const line of lines.slice(0, atMost)) this.#write(`     ${this.#paint('2', line)}\n`);
    if (lines.length > atMost) this.#write(`     … and ${lines.length - atMost} more lines\n`);
  }

  table(rows: readonly (readonly string[])[]): void {
    const columns = rows[0]?.length ?? 0;
    const widths = Array.from({ length: columns }, (_, column) =>
      Math.max(...rows.map((row) => columnsOf(row[column] ?? ''))),
    );
    for (const row of rows) {
      const cells = row.map((cell, i) => cell + ' '.repeat((widths[i] ?? 0) - columnsOf(cell)));
      this.#write(`     ${cells.join('  ').trimEnd()}\n`);
    }
  }

  good(text: string): void {
    this.#write(`   ${this.#paint('32', '✓')} ${text}\n`);
  }

  blank(): void {
    this.#write('\n');
  }

  #paint(code: string, text: string): string {
    return this.#colour ? `\u001b[${code}m${text}\u001b[0m` : text;
  }
}

/** Chinese, Japanese and Korean characters take two columns in a terminal. */
const columnsOf = (text: string): number =>
  Array.from(text).reduce(
    (sum, character) => sum + (/[\u1100-\u115f\u2e80-\uffdc]/.test(character) ? 2 : 1),
    0,
  );

function wrap(text: string, columns: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > columns) {
      lines.push(line);
      line = word;
    } else {
      line = line === '' ? word : `${line} ${word}`;
    }
  }
  return [...lines, line];
}
