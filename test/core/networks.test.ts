// Networks, with node's own BlockList as the second opinion.

import { BlockList } from 'node:net';
import fc from 'fast-check';
import t from 'tap';
import { isInside, parseNetwork } from '../../src/core/networks.ts';

const cases: readonly (readonly [string, string | undefined])[] = [
  ['10.0.0.0/8', '10.0.0.0/8'],
  [' 192.0.2.7 ', '192.0.2.7/32'],
  ['0.0.0.0/0', '0.0.0.0/0'],
  ['2001:DB8::/32', '2001:db8::/32'],
  ['::1', '::1/128'],
  ['::/0', '::/0'],
  ['::ffff:10.0.0.0/104', '10.0.0.0/8'],
  ['10.1.2.3/8', undefined],
  ['2001:db8::1/32', undefined],
  ['10.0.0.0/33', undefined],
  ['10.0.0.0/-1', undefined],
  ['10.0.0.0/8/8', undefined],
  ['10.0.0/24', undefined],
  ['010.0.0.0/8', undefined],
  ['256.0.0.0/8', undefined],
  ['1:2:3:4:5:6:7:8:9', undefined],
  ['1:2:3:4:5:6:7', undefined],
  ['1::2::3', undefined],
  ['hospital.example', undefined],
  ['', undefined],
  ['/8', undefined],
];

void t.test('a network is read as it is written, and a slip of the hand is none', async (t) => {
  for (const [text, network] of cases) t.equal(parseNetwork(text), network, text);
});

const four = fc.tuple(fc.nat(255), fc.nat(255), fc.nat(255), fc.nat(255)).map((n) => n.join('.'));
const six = fc
  .array(fc.nat(0xffff), { minLength: 8, maxLength: 8 })
  .map((groups) => groups.map((group) => group.toString(16)).join(':'));

void t.test('who is inside agrees with node', async (t) => {
  for (const [family, bits, address] of [
    ['ipv4', 32, four],
    ['ipv6', 128, six],
  ] as const) {
    fc.assert(
      fc.property(address, address, fc.nat(bits), (one, other, length) => {
        const list = new BlockList();
        list.addSubnet(one, length, family);
        const zeroed = zero(one, length, bits);
        const inside = isInside([zeroed], other);
        return isInside([zeroed], one) && inside === list.check(other, family);
      }),
    );
  }
  t.ok(isInside(['10.0.0.0/8'], '::ffff:10.9.8.7'), 'IPv4 that comes as IPv6');
  t.ok(isInside(['fe80::/10'], 'fe80::1%eth0'));
  t.notOk(isInside(['0.0.0.0/0'], '::1'));
  t.notOk(isInside(['::/0'], '192.0.2.7'));
  t.notOk(isInside([], '192.0.2.7'));
  t.notOk(isInside(['nonsense'], '192.0.2.7'));
  t.notOk(isInside(['0.0.0.0/0'], ''));
});

/** The address with what is behind the prefix as zeros, as a network. */
function zero(address: string, length: number, bits: 32 | 128): string {
  const [mark, radix, size] = bits === 32 ? ['.', 10, 8] : [':', 16, 16];
  const parts = address.split(mark as string).map((part) => BigInt(Number.parseInt(part, radix)));
  const value = parts.reduce((sum, part) => (sum << BigInt(size)) | part, 0n);
  const kept = (value >> BigInt(bits - length)) << BigInt(bits - length);
  const out = parts.map((_, index) => {
    const shift = BigInt(bits - size * (index + 1));
    return ((kept >> shift) & ((1n << BigInt(size)) - 1n)).toString(radix);
  });
  return `${out.join(mark as string)}/${length}`;
}
