// The extra fields of a zip header (APPNOTE 4.5): a list of id, length, data. Some writers pad them with zeros, so a rest
// that is no field is not an error; what matters of them (zip64 sizes) is checked where it is used.

export interface ExtraField {
  readonly id: number;
  readonly data: Buffer;
}

export function extraFields(extra: Buffer): readonly ExtraField[] {
  const fields: ExtraField[] = [];
  let at = 0;
  while (at + 4 <= extra.length) {
    const length = extra.readUInt16LE(at + 2);
    if (at + 4 + length > extra.length) break;
    fields.push({ id: extra.readUInt16LE(at), data: extra.subarray(at + 4, at + 4 + length) });
    at += 4 + length;
  }
  return fields;
}

/** The 64-bit numbers of the zip64 field (APPNOTE 4.5.3), in their order; undefined where one is missing or too large. */
export function zip64Numbers(extra: Buffer, count: number): readonly number[] | undefined {
  const field = extraFields(extra).find(({ id }) => id === 0x0001)?.data;
  if (field === undefined || field.length < count * 8) return undefined;
  const numbers: number[] = [];
  for (let i = 0; i < count; i++) {
    const value = Number(field.readBigUInt64LE(i * 8));
    if (!Number.isSafeInteger(value)) return undefined;
    numbers.push(value);
  }
  return numbers;
}
