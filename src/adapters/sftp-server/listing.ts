// Listings: entries in pieces, with the long names that `ls -l` shows, and only what exists for the principal.

import type { Place } from '../../core/tree.ts';
import type { FileFacts } from '../../flow/ports/storage.ts';
import { attributeFields, shownOwnerName, type ShownAttributes } from './encode.ts';
import { childPlace, shownAttributes, whenSettled, type Context } from './context.ts';
import type { Listed } from './handles.ts';

/**
 * The entries of a folder; the first piece begins with `.` and `..`. What is hidden is asked for each piece anew, after its
 * names were read: a file that came meanwhile has its row by then.
 */
export async function* listPlace(
  context: Context,
  folder: Place,
  facts: FileFacts | undefined,
): AsyncGenerator<readonly Listed[]> {
  const self = shownAttributes(context, folder, facts);
  const dots = [listed('.', self), listed('..', shownAttributes(context, folder, undefined))];
  if (folder.kind === 'virtual') {
    yield [...dots, ...folder.entries.map((name) => listed(name, self))];
    return;
  }
  yield dots;
  for await (const entries of context.storage.list(folder.path)) {
    const hidden =
      folder.area === 'outgoing'
        ? await whenSettled(context, folder, () =>
            context.intake.hidden(
              context.principal(),
              folder.path,
              entries.map(({ name }) => `${folder.path}/${name}`),
            ),
          )
        : undefined;
    const shown = entries.flatMap(({ name, facts: found }) => {
      const place = childPlace(context, folder, name);
      if (place?.kind !== 'real' || hidden?.has(place.path) === true) return [];
      return [listed(name, shownAttributes(context, place, found))];
    });
    if (shown.length > 0) yield shown;
  }
}

const listed = (name: string, shown: ShownAttributes): Listed => ({
  name,
  fields: attributeFields(shown),
  longName: longName(name, shown),
});

const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
const halfYearMs = 182 * 86_400_000;

/** One line as `ls -l` prints it, and one only; many clients read the kind and the size out of it. */
export function longName(name: string, shown: ShownAttributes, nowMs = Date.now()): string {
  const isFolder = (shown.mode & 0o170000) === 0o40000;
  const bits = Array.from('rwxrwxrwx')
    .map((letter, index) => (shown.mode & (0o400 >> index) ? letter : '-'))
    .join('');
  const date = new Date(shown.modifiedMs);
  const day = `${months[date.getMonth()] ?? ''} ${String(date.getDate()).padStart(2)}`;
  const isRecent = Math.abs(nowMs - shown.modifiedMs) < halfYearMs;
  const time = isRecent
    ? `${String(date.getHours()).padStart(2, '0')}:${String(date.getMinutes()).padStart(2, '0')}`
    : ` ${date.getFullYear()}`;
  const size = String(shown.sizeBytes).padStart(8);
  return `${isFolder ? 'd' : '-'}${bits}    1 ${shownOwnerName} ${shownOwnerName} ${size} ${day} ${time} ${name.replaceAll(/\p{Cc}/gu, '?')}`;
}
