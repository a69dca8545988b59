// Which bytes of a file were written, as sorted, disjoint, half-open ranges [from, to). The evidence that an upload
// has no holes (SPEC 6): clients write out of order, and a size alone proves nothing.

export type Coverage = readonly (readonly [from: number, to: number])[];

/** Adds [from, to). Touching ranges are joined. Cost is one step for the usual case of writing on at the end. */
export function cover(coverage: Coverage, from: number, to: number): Coverage {
  if (to <= from) return coverage;
  const last = coverage[coverage.length - 1];
  if (last !== undefined && from >= last[0] && from <= last[1]) {
    return to <= last[1] ? coverage : [...coverage.slice(0, -1), [last[0], to]];
  }
  const before = coverage.filter(([, end]) => end < from);
  const after = coverage.filter(([start]) => start > to);
  const touched = coverage.filter(([start, end]) => end >= from && start <= to);
  const start = Math.min(from, touched[0]?.[0] ?? from);
  const end = Math.max(to, touched[touched.length - 1]?.[1] ?? to);
  return [...before, [start, end], ...after];
}

/** Forgets everything from `size` on, as a truncation does. */
export const cut = (coverage: Coverage, size: number): Coverage =>
  coverage.filter(([from]) => from < size).map(([from, to]) => [from, Math.min(to, size)] as const);

/** Is every byte of [0, size) there? */
export const isWhole = (coverage: Coverage, size: number): boolean =>
  size === 0 || (coverage.length === 1 && coverage[0]?.[0] === 0 && coverage[0][1] >= size);
