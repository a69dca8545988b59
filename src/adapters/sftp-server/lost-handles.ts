// Handles that end without a CLOSE: what was asked on them before is done first, then the flow hears that they are `lost`.

import { resolve } from '../../core/tree.ts';
import type { Context } from './context.ts';
import type { Handle } from './handles.ts';
import { endHandle } from './requests-files.ts';
import { asFailure } from './status.ts';

/** Those of places that the principal does not see any more. Resolves when the flow knows; does not reject. */
export async function loseOutside(context: Context): Promise<void> {
  const isGone = ({ place }: Handle): boolean => {
    try {
      resolve(context.principal(), context.site, Buffer.from(place.shown));
      return false;
    } catch {
      return true;
    }
  };
  await loseWhere(context, isGone);
}

/** All of them, and none comes after. */
export async function loseAll(context: Context): Promise<void> {
  await loseWhere(context, () => true);
  context.handles.end();
}

async function loseWhere(context: Context, isOver: (handle: Handle) => boolean): Promise<void> {
  const over = context.handles.removeWhere(isOver);
  await Promise.all(over.map((handle) => lose(context, handle)));
}

async function lose({ log }: Context, handle: Handle): Promise<void> {
  await handle.queue.barrier();
  try {
    await endHandle(handle, 'lost');
  } catch (error) {
    asFailure(error, log, 'end');
  }
}
