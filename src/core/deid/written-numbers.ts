// Whole numbers that are as long as a date or an ID, and dates with something between their parts, in values that hold
// numbers (DS, IS, UI). Fractions and short numbers are none: with them every tenth coordinate would be somebody's birthday.

/** Seven digits in a row, or three groups of digits. */
const hint = /\d{7}|\d[-+ ]+\d|\d\.\d+\.\d/;

/** Can there be one? For nearly all values no, and this costs little. */
export const mayHoldNumber = (text: string): boolean => text.length > 5 && hint.test(text);

const long =
  /(?<![\d.])\d{7,}(?:\.0*)?(?![.\d])|(?<![\d.])\d{1,4}(?:[-+ ]{1,3}\d{1,4}){2}(?![.\d])|(?<![\d.])\d{1,4}(?:\.\d{1,4}){2}(?![.\d])/g;

export const longNumbersIn = (text: string): readonly string[] => text.match(long) ?? [];
