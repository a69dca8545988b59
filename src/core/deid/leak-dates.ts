// The days that a text names, in the forms that people and programs write: DICOM's own, with delimiters in any order, with
// names of months in the languages of our hospitals' devices, and in Chinese. For the leak check: too many are better than too few.

/** By how they begin, without accents; of one month in one line. */
const monthNames: readonly (readonly string[])[] = [
  ['jan', 'ene', 'gen'],
  ['feb', 'fev'],
  ['mar', 'maer'],
  ['apr', 'avr', 'abr'],
  ['may', 'mai', 'mag'],
  ['jun', 'juin', 'giu'],
  ['jul', 'juil', 'lug'],
  ['aug', 'aou', 'ago'],
  ['sep', 'set'],
  ['oct', 'okt', 'ott', 'out'],
  ['nov'],
  ['dec', 'dez', 'dic'],
];
const monthOf = new Map(
  monthNames.flatMap((names, i) => names.map((name) => [name, String(i + 1)] as const)),
);
const month = `(${[...monthOf.keys()].sort((a, b) => b.length - a.length).join('|')})[a-z]{0,7}`;

const gap = String.raw`[-./, _年月년월]{1,3}`;
const loose = '[-./, _]{0,3}';
const yearFirst = new RegExp(String.raw`(?<!\d)(\d{4})${gap}(\d{1,2})${gap}(\d{1,2})(?!\d)`, 'g');
const yearLast = new RegExp(
  String.raw`(?<!\d)(\d{1,2})${gap}(\d{1,2})${gap}(\d{4})(?!\d|\.\d)`,
  'g',
);
/** Two digits of the year only where nothing else is written so: with strokes, not with dots. */
const shortYearLast = /(?<![\d/-])(\d{1,2})([/-])(\d{1,2})\2(\d{2})(?![\d/-])/g;
const shortYearChinese = /(?<!\d)(\d{2})年(\d{1,2})月(\d{1,2})日/g;
const dayMonthName = new RegExp(
  String.raw`(?<!\d)(\d{1,2})(?:st|nd|rd|th)?${loose}(?:de )?${month}${loose}(?:de )?(\d{4}|\d{2})(?!\d)`,
  'g',
);
const monthNameDay = new RegExp(
  String.raw`(?<![a-z])${month}${loose}(\d{1,2})(?:st|nd|rd|th)?[-./, _]{1,3}(\d{4})(?!\d)`,
  'g',
);
const run = /(?<!\d)\d{8}(?=\D|\d{4}(?:\D|$)|\d{6}(?:\D|$)|$)/g;

const numerals = '〇一二三四五六七八九';
const chineseDate =
  /([〇零○一二三四五六七八九]{4})年([一二三四五六七八九十]{1,2})月([一二三四五六七八九十]{1,3})日/g;

/** Every day that a folded text may name, as YYYYMMDD; day and month both ways round, both centuries of a short year. */
export function datesIn(folded: string): ReadonlySet<string> {
  const days = new Set<string>();
  if (folded.includes('年')) chineseDates(folded, days);
  if (!/\d{2}/.test(folded)) return days;
  const add = (year: string, month: string, day: string): void => {
    const centuries = year.length === 2 ? ['19', '20'] : [''];
    for (const century of centuries) {
      days.add(century + year + month.padStart(2, '0') + day.padStart(2, '0'));
    }
  };
  const number = (name: string): string => monthOf.get(name) ?? '';
  for (const [, y = '', m = '', d = ''] of folded.matchAll(yearFirst)) add(y, m, d);
  for (const [, y = '', m = '', d = ''] of folded.matchAll(shortYearChinese)) add(y, m, d);
  for (const [, d = '', m = '', y = ''] of folded.matchAll(dayMonthName)) add(y, number(m), d);
  for (const [, m = '', d = '', y = ''] of folded.matchAll(monthNameDay)) add(y, number(m), d);
  for (const [, a = '', b = '', y = ''] of folded.matchAll(yearLast)) {
    add(y, a, b);
    add(y, b, a);
  }
  for (const [, a = '', , b = '', y = ''] of folded.matchAll(shortYearLast)) {
    add(y, a, b);
    add(y, b, a);
  }
  for (const [digits] of folded.matchAll(run)) {
    days.add(digits);
    days.add(digits.slice(4) + digits.slice(2, 4) + digits.slice(0, 2));
    days.add(digits.slice(4) + digits.slice(0, 2) + digits.slice(2, 4));
  }
  return days;
}

function chineseDates(text: string, days: Set<string>): void {
  const digit = (char: string): number => Math.max(0, numerals.indexOf(char));
  const number = (value: string): number => {
    const [tens = '', ones = ''] = value.split('十');
    if (!value.includes('十')) return digit(value);
    return (tens === '' ? 1 : digit(tens)) * 10 + (ones === '' ? 0 : digit(ones));
  };
  const two = (value: string): string => String(number(value)).padStart(2, '0');
  for (const [, y = '', m = '', d = ''] of text.matchAll(chineseDate)) {
    days.add(Array.from(y, digit).join('') + two(m) + two(d));
  }
}
