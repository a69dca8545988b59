// archiver writes the central directory as some seventeen tiny pieces an entry and waits for nobody, so that 100,000 entries
// pile up hundreds of megabytes of queue. Here the pieces are put together before they go into the queue. It reaches for
// private parts of archiver 7 (its zip engine of compress-commons 6); where they are not as expected it does nothing, and a
// test of the memory says so.

type Chunk = Uint8Array | string;

interface Engine {
  offset: number;
  write: (chunk: Chunk) => boolean;
  end: () => unknown;
  _finish: () => void;
}

const pieceBytes = 64 * 1024;

export function calmFinish(archive: unknown): void {
  const engine = (archive as { _module?: { engine?: Partial<Engine> } })._module?.engine;
  if (!isEngine(engine)) return;
  const finish = engine._finish.bind(engine);
  engine._finish = () => {
    gather(engine);
    finish();
  };
}

function isEngine(engine: Partial<Engine> | undefined): engine is Engine {
  return (
    typeof engine?.offset === 'number' &&
    typeof engine.write === 'function' &&
    typeof engine.end === 'function' &&
    typeof engine._finish === 'function'
  );
}

function gather(engine: Engine): void {
  const write = engine.write.bind(engine);
  const end = engine.end.bind(engine);
  let pieces: Uint8Array[] = [];
  let length = 0;
  const flush = (): void => {
    // The engine's own write counts the offset, which was counted already.
    engine.offset -= length;
    if (length > 0) write(Buffer.concat(pieces));
    pieces = [];
    length = 0;
  };
  engine.write = (chunk) => {
    const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : chunk;
    engine.offset += bytes.length;
    pieces.push(bytes);
    length += bytes.length;
    if (length >= pieceBytes) flush();
    return true;
  };
  engine.end = () => {
    engine.write = write;
    flush();
    return end();
  };
}
