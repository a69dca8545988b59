// `clubhouse audit` as people use it: a head that is kept elsewhere, and an export that others check without Clubhouse.

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Sqlite from 'better-sqlite3';
import ssh2 from 'ssh2';
import t from 'tap';
import { here } from '../support/command-line.ts';
import { missing, run } from '../support/programs.ts';

t.setTimeout(300_000);

const root = await mkdtemp(join(tmpdir(), 'clubhouse-audit-'));
t.teardown(() => rm(root, { recursive: true, force: true }));
const home = join(root, 'site');
const at = (...args: readonly string[]) => here([...args, '--home', home]);
await at('init', '--site', 'PUHSC');
for (const name of ['brain', 'heart']) await at('project', 'add', name, '--partner', 'UMHS');

void t.test('a head that was kept elsewhere tells later whether it still holds', async (t) => {
  const { out, code } = await at('audit', 'verify');
  t.equal(code, 0);
  const head = /head (\d+:[0-9a-f]{64})\n$/.exec(out)?.[1] ?? '';
  await at('project', 'add', 'lung', '--partner', 'UMHS');
  t.match(await at('audit', 'verify', '--head', head), { code: 0 });
  const other = head.replace(/.$/, (digit) => (digit === '0' ? '1' : '0'));
  t.match(await at('audit', 'verify', '--head', other), { code: 1, err: /another entry/ });
  t.match(await at('audit', 'verify', '--head', `999${head}`), { code: 1, err: /missing/ });
  for (const wrong of ['12', 'x:y', ':']) {
    t.match(await at('audit', 'verify', '--head', wrong), { code: 2 });
  }
});

void t.test(
  'an export is signed, so that ssh-keygen finds each change of it',
  { skip: missing('ssh-keygen') },
  async (t) => {
    const [signature, signers] = [join(root, 'audit.sig'), join(root, 'signers')];
    const { out, code } = await at('audit', 'export', '--signature', signature);
    t.equal(code, 0);
    const lines = out.trim().split('\n');
    t.match(JSON.parse(lines[0] ?? ''), { seq: 1, action: String, hash: /^[0-9a-f]{64}$/ });
    const key = ssh2.utils.parseKey(await readFile(join(home, 'keys', 'host_ed25519')));
    if (key instanceof Error) throw key;
    const one = Array.isArray(key) ? key[0] : key;
    const blob = one?.getPublicSSH().toString('base64');
    await writeFile(signers, `PUHSC namespaces="clubhouse-audit" ssh-ed25519 ${blob}\n`);
    const check = (input: string, space = 'clubhouse-audit') =>
      run(
        'ssh-keygen',
        ['-Y', 'verify', '-f', signers, '-I', 'PUHSC', '-n', space, '-s', signature],
        {
          input,
        },
      );
    const good = await check(out);
    t.equal(good.code, 0, good.stderr);
    t.not((await check(out.replace('"cli"', '"clo"'))).code, 0);
    t.not((await check(`${lines.slice(0, -1).join('\n')}\n`)).code, 0);
    t.not((await check(out, 'file')).code, 0);
  },
);

void t.test('a trail that does not hold ends with 1 and names the entry', async (t) => {
  const database = new Sqlite(join(home, 'data/state/clubhouse.db'));
  database.exec(`delete from audit where seq = (select max(seq) from audit)`);
  database.close();
  t.match(await at('audit', 'verify'), { code: 1, err: /does not hold at entry \d+: entries are/ });
});
