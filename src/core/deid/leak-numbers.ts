// Numbers that name a person wherever they stand in a text: they tell themselves by their form, so also those are found that
// somebody typed into a comment.

const weights = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
const nationalId = /(?<!\d)\d{6}[- ]?(?:19|20)\d{6}[- ]?\d{3}[\dx](?![a-z0-9])/g;

/** 18-digit Chinese identity numbers in a folded text (GB 11643), by their check digit; also in groups. */
export function nationalIdsIn(folded: string): readonly string[] {
  const found: string[] = [];
  for (const [match] of folded.matchAll(nationalId)) {
    const number = match.replaceAll(/[- ]/g, '');
    const sum = weights.reduce((total, weight, i) => total + weight * Number(number[i]), 0);
    if ('10x98765432'[sum % 11] === number[17]) found.push(number);
  }
  return found;
}

const mobile = /(?<![\d.])(?:\+?86[- ]?)?(1[3-9]\d)[- ]?(\d{4})[- ]?(\d{4})(?![\d.])/g;

/** Chinese mobile numbers, without the country's code. */
export const mobilesIn = (text: string): readonly string[] =>
  Array.from(text.matchAll(mobile), ([, a = '', b = '', c = '']) => a + b + c);
