// Sizes as people write them. 1 KB is 1024 bytes, as in the configuration and in the clients' own displays.

const units = ['bytes', 'KB', 'MB', 'GB', 'TB'] as const;

/** `50 GB`, `1.5 MB`. */
export function sizeText(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${Number.isInteger(value) ? value : value.toFixed(1)} ${units[unit]}`;
}
