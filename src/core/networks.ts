// Networks in CIDR notation (RFC 4632, RFC 4291 §2.3): from where somebody may log in, and who is exempt from penalties.
// Pure, because the configuration, the commands and the login all ask. An IPv4 address that arrives as an IPv6 one
// (::ffff:192.0.2.7) is the IPv4 address that it is.

interface Address {
  readonly bits: 32 | 128;
  readonly value: bigint;
}

/** `10.0.0.0/8`, `2001:db8::/32`; an address alone is a network of one. Undefined: it is none. */
export function parseNetwork(text: string): string | undefined {
  return read(text)?.text;
}

/** Is the address in one of the networks? An address that cannot be read is in none, a network likewise holds none. */
export function isInside(networks: readonly string[], address: string): boolean {
  const at = parseAddress(address.replace(/%.*$/, ''));
  if (at === undefined) return false;
  return networks.some((text) => {
    const network = read(text);
    if (network === undefined || network.bits !== at.bits) return false;
    const rest = BigInt(at.bits - network.length);
    return at.value >> rest === network.value >> rest;
  });
}

function read(
  text: string,
): (Address & { readonly length: number; readonly text: string }) | undefined {
  const [host = '', size, ...more] = text.trim().split('/');
  const address = parseAddress(host);
  if (address === undefined || more.length > 0) return undefined;
  if (size !== undefined && !/^\d{1,3}$/.test(size)) return undefined;
  const isMapped = address.bits === 32 && host.includes(':');
  const length = size === undefined ? address.bits : Number(size) - (isMapped ? 96 : 0);
  if (length < 0 || length > address.bits) return undefined;
  const rest = BigInt(address.bits - length);
  // Bits behind the prefix are a slip of the hand: 10.1.2.3/8 would hold far more than it seems to.
  if ((address.value >> rest) << rest !== address.value) return undefined;
  const shown = isMapped ? host.slice(host.lastIndexOf(':') + 1) : host.toLowerCase();
  return { ...address, length, text: `${shown}/${length}` };
}

function parseAddress(text: string): Address | undefined {
  const plain = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(text)?.[1] ?? text;
  if (!plain.includes(':')) return parseFour(plain);
  const halves = plain.split('::');
  if (halves.length > 2) return undefined;
  const [front = [], back = []] = halves.map((half) => (half === '' ? [] : half.split(':')));
  const groups = [...front, ...back];
  const missing = 8 - groups.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
  if (!groups.every((group) => /^[0-9a-f]{1,4}$/i.test(group))) return undefined;
  const zeros = Array.from({ length: missing }, () => '0');
  const all = halves.length === 2 ? [...front, ...zeros, ...back] : groups;
  const value = all.reduce((sum, group) => (sum << 16n) | BigInt(`0x${group}`), 0n);
  return { bits: 128, value };
}

function parseFour(text: string): Address | undefined {
  const parts = text.split('.');
  // No leading zeros: some programs read them as octal.
  const isPlain = (part: string): boolean => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) < 256;
  if (parts.length !== 4 || !parts.every(isPlain)) return undefined;
  return { bits: 32, value: parts.reduce((sum, part) => (sum << 8n) | BigInt(part), 0n) };
}
