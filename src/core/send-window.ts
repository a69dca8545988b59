// The hours of the day in which files go to a partner, in the site's time zone. Pure: time comes in.

import { AppError } from './errors.ts';

export interface SendWindow {
  /** Minutes of the day; `until` may be the smaller one: then the window goes over midnight. */
  readonly from: number;
  readonly until: number;
  readonly timeZone: string;
}

const dayMinutes = 1440;

/** `20:00-06:00`. BAD_INPUT when it is not, or would never open. */
export function readWindow(text: string, timeZone: string): SendWindow {
  const times = /^([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)$/.exec(text);
  const [from = 0, fromMinute = 0, until = 0, untilMinute = 0] = (times ?? []).slice(1).map(Number);
  const window = { from: from * 60 + fromMinute, until: until * 60 + untilMinute, timeZone };
  if (times === null || window.from === window.until) {
    throw new AppError('BAD_INPUT', {
      detail: 'a window is two times of the day such as 20:00-06:00',
    });
  }
  return window;
}

/** Minutes since the window opened, or undefined while it is closed. */
export function openForMinutes(window: SendWindow, now: number): number | undefined {
  const past = (minuteOf(now, window.timeZone) - window.from + dayMinutes) % dayMinutes;
  const length = (window.until - window.from + dayMinutes) % dayMinutes;
  return past < length ? past : undefined;
}

const formats = new Map<string, Intl.DateTimeFormat>();

function minuteOf(now: number, timeZone: string): number {
  let format = formats.get(timeZone);
  if (format === undefined) {
    format = new Intl.DateTimeFormat('en-GB', {
      timeZone,
      hour: '2-digit',
      minute: '2-digit',
      hourCycle: 'h23',
    });
    formats.set(timeZone, format);
  }
  const [hour = 0, minute = 0] = format.format(now).split(':').map(Number);
  return hour * 60 + minute;
}
