// A partner whose `/home` is a folder of ours: tests and benches may not write to the real one.

import type { Remote, RemoteSource, Remotes } from '../../src/flow/ports/replication.ts';

/** `onRead` is awaited before each piece of a file is read, and told from where on. */
export function below(
  folder: string,
  real: Remotes,
  onRead?: (offset: number) => Promise<void>,
): Remotes {
  const at = (path: string): string => path.replace(/^\/home\//, `${folder}/`);
  return {
    connect: async (address, signal) => {
      const remote = await real.connect(address, signal);
      const moved: Remote = {
        hostKey: remote.hostKey,
        hashes: remote.hashes,
        roundTripMs: remote.roundTripMs,
        maximumOpen: remote.maximumOpen,
        flightBytes: remote.flightBytes,
        raggedBytes: remote.raggedBytes,
        facts: (path) => remote.facts(at(path)),
        ensureFolder: (path) => remote.ensureFolder(at(path)),
        putNew: async (file, path, by) => {
          await onRead?.(0);
          return remote.putNew(file, at(path), by);
        },
        put: (source, path, how, abort) => {
          if (onRead === undefined) return remote.put(source, at(path), how, abort);
          const readInto: RemoteSource['readInto'] = async (targets, offset) => {
            await onRead(offset);
            return source.readInto(targets, offset);
          };
          return remote.put({ readInto }, at(path), how, abort);
        },
        receipt: (expected) => remote.receipt({ ...expected, path: at(expected.path) }),
        sha256: (path, length, abort) => remote.sha256(at(path), length, abort),
        replace: (from, to) => remote.replace(at(from), at(to)),
        remove: (path) => remote.remove(at(path)),
        close: () => remote.close(),
      };
      return moved;
    },
  };
}
