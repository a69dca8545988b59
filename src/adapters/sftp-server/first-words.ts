// What a client says before ssh2 hears of it: its greeting and its offer of algorithms (RFC 4253 §4.2, §7.1). The first cipher on
// the client's list that we know too is taken, and OpenSSH's list begins with CTR behind ChaCha20: with it an upload costs us
// one and a half times the CPU time of AES-GCM, which every OpenSSH since 6.2 knows as well (npm run bench -- sftp). So who offers GCM is
// offered nothing else by us. OpenSSH sends its offer unasked; others may wait for ours, and are not waited for.

const mostHeldBytes = 36_000;
const kexInit = 20;
const cookieBytes = 16;
const openSsh = /^SSH-2\.0-OpenSSH_/;
/** Beyond a long line's way there and back nobody is waited for. */
const patienceMs = 1000;

export interface FirstWords {
  /** More of them. What is ready is passed on, in the same order. */
  take(bytes: Buffer): void;
  /** The client is gone, or its words need not be held any more. */
  end(): void;
  /** The ciphers that the client offers both ways; undefined when that is not known. */
  readonly ciphers: readonly string[] | undefined;
}

/** `pass` gets all that came, at once from the moment on when the offer is there, or is not to be waited for. */
export function createFirstWords(
  pass: (bytes: Buffer) => void,
  waitMs: number = patienceMs,
): FirstWords {
  let held: Buffer = Buffer.alloc(0);
  let ciphers: readonly string[] | undefined;
  let isOver = false;
  let timer: NodeJS.Timeout | undefined;
  const end = (): void => {
    isOver = true;
    clearTimeout(timer);
  };
  const passAll = (): void => {
    end();
    pass(held);
    held = Buffer.alloc(0);
  };
  return {
    take: (bytes) => {
      if (isOver) {
        pass(bytes);
        return;
      }
      timer ??= setTimeout(passAll, waitMs);
      held = Buffer.concat([held, bytes]);
      const offer = offerIn(held);
      if (offer === 'later') return;
      ciphers = offer;
      passAll();
    },
    end,
    get ciphers() {
      return ciphers;
    },
  };
}

/** The ciphers of an OpenSSH client's KEXINIT; 'later' when it has not come whole; undefined when there will be none to read. */
function offerIn(bytes: Buffer): readonly string[] | 'later' | undefined {
  const lineEnd = bytes.indexOf('\n');
  const greeting = bytes.toString('latin1', 0, lineEnd < 0 ? bytes.length : lineEnd);
  const isOpenSsh = openSsh.test(greeting) || 'SSH-2.0-OpenSSH_'.startsWith(greeting);
  if (!isOpenSsh || bytes.length > mostHeldBytes) return undefined;
  const packet = bytes.subarray(lineEnd + 1);
  if (lineEnd < 0 || packet.length < 4) return 'later';
  const length = packet.readUInt32BE(0);
  if (length > mostHeldBytes) return undefined;
  return packet.length < 4 + length ? 'later' : ciphersOf(packet.subarray(4, 4 + length));
}

/** RFC 4253 §7.1: padding length, message number, cookie, then lists of names: kex, host key, ciphers there, ciphers back. */
function ciphersOf(packet: Buffer): readonly string[] | undefined {
  if (packet.length < 2 || packet[1] !== kexInit) return undefined;
  let at = 2 + cookieBytes;
  const lists: string[][] = [];
  while (lists.length < 4) {
    if (packet.length - at < 4) return undefined;
    const end = at + 4 + packet.readUInt32BE(at);
    if (end > packet.length) return undefined;
    lists.push(packet.toString('latin1', at + 4, end).split(','));
    at = end;
  }
  const [, , there = [], back = []] = lists;
  return there.filter((cipher) => back.includes(cipher));
}
