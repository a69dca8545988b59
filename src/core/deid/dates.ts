// Moving dates by whole days (PS3.15 §E.3.7.2): intervals of one patient stay exact, times of day stay. What is not a
// valid date is not guessed at: it is given up, never kept.

import { trimPadding } from './reading.ts';

const dayMs = 86_400_000;

/** Days since 1970-01-01, or undefined for a day that does not exist. */
function dayNumber(year: number, month: number, day: number): number | undefined {
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  const right = date.getUTCMonth() === month - 1 && date.getUTCDate() === day && year > 0;
  return right ? Math.round(date.getTime() / dayMs) : undefined;
}

function dateText(day: number): string | undefined {
  const date = new Date(day * dayMs);
  const year = date.getUTCFullYear();
  if (year < 1 || year > 9999) return undefined;
  return date.toISOString().slice(-24, -14).replaceAll('-', '');
}

function shifted(year: string, month: string, day: string, days: number): string | undefined {
  const number = dayNumber(Number(year), Number(month), Number(day));
  return number === undefined ? undefined : dateText(number + days);
}

/** One DA: `YYYYMMDD`, also the old `YYYY.MM.DD` (PS3.5 §6.2, ACR-NEMA). Undefined where it is not a date. */
export function shiftDate(text: string, days: number): string | undefined {
  const match = /^(\d{4})(\d{2})(\d{2})$/.exec(text) ?? /^(\d{4})[.](\d{2})[.](\d{2})$/.exec(text);
  if (match === null) return undefined;
  const [, year = '', month = '', day = ''] = match;
  return shifted(year, month, day, days);
}

const dateTimePattern =
  /^(\d{4})(?:(\d{2})(?:(\d{2})((?:[01]\d|2[0-3])(?:[0-5]\d(?:(?:[0-5]\d|60)(?:[.]\d{1,6})?)?)?)?)?)?([+-](?:0\d|1[0-4])[0-5]\d)?$/;

/**
 * One DT. Without a day it is read as the middle of what it says and stays as coarse as it was, so that the result
 * is never finer than the original. Fraction and zone stay.
 */
export function shiftDateTime(text: string, days: number): string | undefined {
  const match = dateTimePattern.exec(text);
  if (match === null) return undefined;
  const [, year = '', month, day, time = '', zone = ''] = match;
  const moved = shifted(year, month ?? '07', day ?? '15', days);
  if (moved === undefined) return undefined;
  const length = month === undefined ? 4 : day === undefined ? 6 : 8;
  return `${moved.slice(0, length)}${time}${zone}`;
}

/** One TM (PS3.5 §6.2), also the old `HH:MM:SS`. */
export const isTime = (text: string): boolean =>
  /^(?:[01]\d|2[0-3])(?::?[0-5]\d(?::?(?:[0-5]\d|60)(?:[.]\d{1,6})?)?)?$/.test(text);

/**
 * A whole value of VR DA, DT or TM with one or several parts. A part that is no valid date or time becomes empty; a
 * range is for queries and no valid date in a file (PS3.5 §6.2).
 */
export const shiftTemporal = (text: string, vr: 'DA' | 'DT' | 'TM', days: number): string =>
  text
    .split('\\')
    .map((raw) => {
      const part = trimPadding(raw);
      if (vr === 'TM') return isTime(part) ? part : '';
      return (vr === 'DA' ? shiftDate(part, days) : shiftDateTime(part, days)) ?? '';
    })
    .join('\\');

/** One offset from UTC (0008,0201), as it is written at the end of a DT. */
export const isZone = (text: string): boolean => /^[+-](?:0\d|1[0-4])[0-5]\d$/.test(text);

/** One AS, also without its leading zeros, as some write it. Ages over 89 years are one class, 090Y (HIPAA 45 CFR 164.514(b)(2)(i)(C)). Undefined where it is not an age. */
export function capAge(text: string): string | undefined {
  const match = /^(\d{1,3})([DWMY])$/.exec(text);
  if (match === null) return undefined;
  const [, digits = '', unit] = match;
  const years =
    Number(digits) / { D: 365.25, W: 52.18, M: 12, Y: 1 }[unit as 'D' | 'W' | 'M' | 'Y'];
  return years >= 90 ? '090Y' : text;
}
