// The command line: what it makes on the disk, what it prints, how it ends.

import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { generateKey } from 'openpgp';
import t from 'tap';
import { makeWorkingPair } from '../../src/adapters/keys.ts';
import { traceLines } from '../../src/cli/commands/trace.ts';
import { here, run, type Ended } from '../support/command-line.ts';
import { ctSlice, gb18030 } from '../support/dicom.ts';

// The machine may have other things to do.
t.setTimeout(110_000);

const home = await mkdtemp(join(tmpdir(), 'clubhouse-cli-'));
t.teardown(() => rm(home, { recursive: true }));
const clubhouse = (args: readonly string[], input?: string): Promise<Ended> =>
  input === undefined ? here([...args, '--home', home]) : run([...args, '--home', home], input);
const json = async <T>(args: readonly string[]): Promise<T> =>
  JSON.parse((await clubhouse([...args, '--json'])).out) as T;
const publicKey = makeWorkingPair('ed25519', 'alice@laptop');
const exists = (path: string): Promise<boolean> =>
  stat(join(home, path)).then(
    () => true,
    () => false,
  );

async function everything(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries.map((entry) => join(entry.parentPath, entry.name));
}

await t.test(
  'init makes a private instance, tells its host key, and overwrites nothing',
  async (t) => {
    const done = await clubhouse(['init', '--site', 'PUHSC', '--listen', '127.0.0.1:2299']);
    t.equal(done.code, 0, done.err);
    t.match(done.out, /SHA256:[A-Za-z0-9+/]{43}/);
    for (const path of [home, ...(await everything(home))]) {
      const facts = await stat(path);
      t.equal(facts.mode & 0o777, facts.isDirectory() ? 0o700 : 0o600, path);
    }
    const names = (await readdir(join(home, 'keys'))).sort();
    t.same(names, [
      ...['host_ed25519', 'host_rsa', 'known_hosts', 'master.key', 'recipients'],
      ...['replicator_ed25519', 'replicator_ed25519.pub'],
    ]);
    t.match(await readFile(join(home, 'config/clubhouse.yaml'), 'utf8'), /^site: PUHSC$/m);
    const master = await readFile(join(home, 'keys/master.key'), 'utf8');
    const again = await here(['--home', home, 'init', '--site', 'UMHS']);
    t.equal(again.code, 1);
    t.match(again.err, /init overwrites nothing/);
    t.equal(await readFile(join(home, 'keys/master.key'), 'utf8'), master);
  },
);

await t.test('where no instance can be made, init says so and ends', async (t) => {
  await writeFile(join(home, 'a-file'), '');
  for (const place of ['/proc/clubhouse/site', join(home, 'a-file', 'site')]) {
    const done = await here(['--home', place, 'init', '--site', 'PUHSC']);
    t.match(done, { code: 1, err: /^clubhouse: the folder .* cannot be made: .*\n$/ }, place);
    await t.rejects(stat(place), 'nothing was made');
  }
  await rm(join(home, 'a-file'));
});

await t.test('projects and users: add makes or updates, and says which', async (t) => {
  await writeFile(join(home, 'alice.pub'), publicKey.public);
  const added = await clubhouse(['project', 'add', 'brain', '--partner', 'UMHS']);
  t.match(added, { code: 0, out: /^Added project brain: profile basic, partners UMHS\.\n$/ });
  const again = await clubhouse(['project', 'add', 'brain', '--partner', 'OSLO']);
  t.match(again, { code: 0, out: /^It was there; updated project brain: .*OSLO, UMHS\.\n$/ });
  for (const folder of ['From_PUHSC_To_UMHS', 'From_UMHS_To_PUHSC', 'From_PUHSC_To_OSLO']) {
    t.ok(await exists(`data/home/ji_brain/club_house/${folder}`), folder);
  }
  const [project] = await json<readonly Record<string, unknown>[]>(['project', 'list']);
  t.match(project, { name: 'brain', state: 'active', partners: ['OSLO', 'UMHS'] });
  t.match(project, { profile: 'basic', settings: { directDicom: 'hold' }, createdAt: /Z$/ });

  const user = ['user', 'add', 'alice', '--project', 'brain'];
  const first = await clubhouse([...user, '--key', join(home, 'alice.pub')]);
  t.match(first, { code: 0, out: /^Added user alice: projects brain; 1 key, no password\.\n$/ });
  const second = await clubhouse([...user, '--password-stdin', '--expires', '2099-12-31'], 'pw\n');
  t.match(second, { code: 0, out: /^It was there; updated .*1 key, a password\.\n$/ });
  t.match(second.err, /less than 12 characters/);
  const shown = await json<Record<string, unknown>>(['user', 'show', 'alice']);
  t.match(shown, { name: 'alice', projects: ['brain'], hasPassword: true, state: 'active' });
  t.match(shown, { keys: [{ comment: 'alice@laptop' }], expiresAt: '2099-12-31T23:59:59.999Z' });
  t.notMatch(JSON.stringify(shown), /argon2/);
  for (const folder of ['gpg', 'receipts']) {
    const facts = await stat(join(home, 'data/home/ji_brain/alice', folder));
    t.equal(facts.mode & 0o777, 0o700);
  }
});

await t.test('a user is taken out of one project, and never out of the last', async (t) => {
  await clubhouse(['project', 'add', 'heart', '--partner', 'UMHS']);
  await clubhouse(['user', 'add', 'alice', '--project', 'heart']);
  await writeFile(join(home, 'data/home/ji_heart/alice/gpg/left.dcm'), 'bytes');
  const leave = (...projects: string[]): Promise<Ended> =>
    clubhouse(['user', 'set', 'alice', '--remove-project', projects.join(',')]);
  t.match(await leave('brain', 'heart'), { code: 1, err: /at least one project: add another/ });
  t.match(await json(['user', 'show', 'alice']), { projects: ['brain', 'heart'] }, 'all or none');
  t.match(await leave('ji_heart'), {
    code: 0,
    out: /^Changed user alice: out of project heart; .* goes on, .* stays\. Still in brain\.\n$/,
  });
  t.match(await leave('heart'), { code: 0, out: /alice is not in heart; nothing changed/ });
  t.match(await leave('brain'), { code: 1, err: /user disable or user remove/ });
  t.match(await leave('nope'), { code: 1, err: /no project nope/ });
  t.match(await json(['user', 'show', 'alice']), { projects: ['brain'] });
  const trail = await json<{ action: string; detail: { leaves?: string[] } }[]>(['audit', 'list']);
  t.equal(trail.filter(({ detail }) => detail.leaves !== undefined).length, 1);
  await clubhouse(['user', 'add', 'alice', '--project', 'heart']);
  t.same(await readdir(join(home, 'data/home/ji_heart/alice/gpg')), ['left.dcm'], 'as it was');
});

await t.test('what was changed is told as it stands now', async (t) => {
  const user = (...limits: string[]): Promise<Ended> =>
    clubhouse(['user', 'set', 'alice', ...limits]);
  const bound = await user('--from', '192.0.2.0/24', '--quota', '5GB', '--expires', '2999-12-31');
  t.match(bound.out, /expires 2999-12-31; logs in from 192\.0\.2\.0\/24; quota 5 GB\.\n$/);
  const free = await user('--from', 'any', '--quota', 'none', '--expires', 'never');
  t.match(free.out, /^Changed user alice: expires never; logs in from any network; no quota\.\n$/);
  const project = (...args: string[]): Promise<Ended> =>
    clubhouse(['project', 'set', 'brain', ...args]);
  t.match((await project('--quota', '500GB')).out, /\nquota 500 GB for all of its folders; /);
  t.match((await project('--quota', 'none')).out, /\nno quota for all of its folders; /);
});

await t.test('one of several accepted keys is taken back', async (t) => {
  const file = join(home, 'theirs.pub');
  const accepted = async (): Promise<string[]> => {
    const [, umhs] = await json<{ acceptedKeys: { fingerprint: string }[] }[]>(['partner', 'list']);
    return (umhs?.acceptedKeys ?? []).map(({ fingerprint }) => fingerprint);
  };
  for (const name of ['one', 'two']) {
    await writeFile(file, makeWorkingPair('ed25519', name).public);
    t.match(await clubhouse(['partner', 'accept', 'UMHS', '--key', file]), { code: 0 });
  }
  const [one = '', two = ''] = await accepted();
  t.ok((await clubhouse(['partner', 'list'])).out.includes(`${one} ${two}`), 'both are shown');
  const remove = (print: string): Promise<Ended> =>
    clubhouse(['partner', 'accept', 'UMHS', '--remove', print]);
  t.match(await remove(one), { code: 0, out: /its sessions end; one other key still opens\.\n$/ });
  t.match(await remove(one), { code: 1, err: /has no accepted key/ });
  t.same(await accepted(), [two]);
  t.match(await remove(two), { code: 0, out: /UMHS has no key left and cannot log in here/ });
  t.match((await clubhouse(['partner', 'list'])).out, /UMHS .*no key$/m);
  const trail = await json<{ action: string; object: string }[]>(['audit', 'list']);
  const gone = trail.filter(({ action }) => action === 'partner.key-removed');
  t.match(gone, [{ object: 'UMHS' }, { object: 'UMHS' }]);
});

await t.test('a partner with hours that are none is not added', async (t) => {
  const where = ['--host', 'h', '--port', '22', '--host-key', `SHA256:${'A'.repeat(43)}`];
  const done = await clubhouse(['partner', 'add', 'ROME', ...where, '--window', 'at night']);
  t.match(done, { code: 2, err: /a window is two times of the day such as 20:00-06:00/ });
  const partners = await json<readonly { code: string }[]>(['partner', 'list']);
  t.notOk(partners.some(({ code }) => code === 'ROME'));
});

await t.test('a welcome says where and how to connect, and holds no secret', async (t) => {
  const config = join(home, 'config/clubhouse.yaml');
  const before = await readFile(config, 'utf8');
  const plain = await clubhouse(['user', 'welcome', 'alice']);
  t.match(plain, { code: 0, out: /sftp -P 2299 alice@THE-ADDRESS-OF-OUR-SERVER/ });
  t.match(plain.err, /set listen\.publicHost in the configuration/);
  const named = '  publicHost: sftp.puhsc.example.org\n  publicPort: 22\n';
  await writeFile(config, before.replace(/^listen:\n/m, `listen:\n${named}`));
  const { out, err } = await clubhouse(['user', 'welcome', 'alice']);
  t.equal(err, '');
  t.match(out, /sftp -P 22 alice@sftp\.puhsc\.example\.org/);
  t.match(out, /SHA256:[A-Za-z0-9+/]{43}/);
  t.match(out, '/home/ji_brain/alice/gpg/');
  await writeFile(config, before);
});

await t.test('a recipient key needs its whole fingerprint, told by somebody', async (t) => {
  const { publicKey: key } = await generateKey({
    userIDs: [{ name: 'Bob', email: 'bob@umhs.example' }],
    format: 'object',
  });
  const file = join(home, 'bob.asc');
  await writeFile(file, key.armor());
  const right = key.getFingerprint().toUpperCase();
  const add = ['recipient', 'add', '--project', 'brain', '--partner', 'UMHS', '--key', file];
  const wrong = right.replace(/./g, (digit) => (digit === '0' ? '1' : '0'));
  for (const more of [[], ['--fingerprint', right.slice(-16)], ['--fingerprint', 'hello']]) {
    const done = await clubhouse([...add, ...more]);
    t.equal(done.code, 2, done.err);
  }
  const another = await clubhouse([...add, '--fingerprint', wrong]);
  t.match(another, { code: 1, err: /is not the one that was given; nothing was added/ });
  t.same(await json(['recipient', 'list']), [], 'nothing was added');
  const typed = `0x${right.toLowerCase().replace(/(.{4})/g, '$1 ')}`;
  const done = await clubhouse([...add, '--fingerprint', typed]);
  t.match(done, { code: 0, out: /Bob <bob@umhs\.example>.*\nAdded the key/ });
  t.match(await json(['recipient', 'list']), [
    { project: 'brain', partner: 'UMHS', fingerprint: right, expiresAt: null },
  ]);
  const typo = [...add.map((word) => (word === 'UMHS' ? 'UHMS' : word)), '--fingerprint', right];
  t.match((await clubhouse(typo)).out, /UHMS is no partner of it yet: .* --add-partner UHMS\n$/);
  const remove = ['recipient', 'remove', '--project', 'brain', '--partner', 'UHMS'];
  t.equal((await clubhouse([...remove, '--fingerprint', right])).code, 0);
});

await t.test('a trace tells of each upload of a name by itself', (t) => {
  const upload = { path: '/home/ji_brain/alice/gpg/1.dcm', bytes: 9, sha256: null };
  const made = { createdAt: 0, rawRemovedAt: null };
  const job = { partner: 'UMHS', reason: null, output: null, publishedAt: null, deliveredAt: null };
  const row = { at: 0, actor: 'server', detail: {} };
  const lines = traceLines(
    {
      uploads: [
        { ...upload, ...made, id: 'u1', generation: 1 },
        { ...upload, ...made, id: 'u2', generation: 2 },
      ],
      jobs: [
        { ...job, id: 'j1', uploadId: 'u1', state: 'superseded' },
        { ...job, id: 'j2', uploadId: 'u2', state: 'held', reason: 'burned-in' },
      ],
      deliveries: [],
      entries: [
        { ...row, seq: 1, object: 'u1', action: 'upload.begun' },
        { ...row, seq: 2, object: 'u2', action: 'upload.begun' },
        { ...row, seq: 3, object: 'j1', action: 'job.superseded' },
        { ...row, seq: 4, object: 'j2', action: 'job.held' },
      ],
    },
    (actor) => actor,
  );
  t.match(
    [...lines],
    [
      /1\.dcm, generation 1, /,
      'to UMHS: superseded',
      /upload\.begun/,
      /job\.superseded/,
      /1\.dcm, generation 2, /,
      'to UMHS: held burned-in',
      /upload\.begun/,
      /job\.held/,
    ],
  );
  t.end();
});

await t.test('a profile file is checked with its line and kept for its project', async (t) => {
  const file = join(home, 'mine.yaml');
  await writeFile(file, 'extends: basic\nburnedOut: allow\n');
  t.match(await clubhouse(['project', 'add', 'heart', '--profile', file]), {
    code: 1,
    err: /line 2: unknown key "burnedOut"/,
  });
  await writeFile(file, 'extends: basic\nburnedIn: allow\n');
  t.match(await clubhouse(['project', 'add', 'heart', '--profile', file]), {
    code: 0,
    out: /profile mine/,
  });
  t.ok(await exists('config/profiles/mine.yaml'));
});

await t.test('profile show says what becomes of every attribute, or what stays', async (t) => {
  const all = await clubhouse(['profile', 'show', 'basic']);
  t.match(all, { code: 0, out: /\(0010,0010\) +PatientName +pseudonym +PS3\.15 E\.1-1\n/ });
  t.match(all.out, /\(0018,0050\) +SliceThickness +keep +not listed in PS3\.15 E\.1-1\n/);
  t.match(all.out, /\n\d{4} attributes and rules: \d+ keep, .*\d pseudonym/);
  const kept = await clubhouse(['profile', 'show', 'basic', '--action', 'keep']);
  t.match(kept.out, /SliceThickness/);
  t.notMatch(kept.out, /PatientName/);
  t.match(kept.out, /\n(\d{4}) attributes and rules: \1 keep\n$/);
});

for (const args of [
  ['profile', 'preview', 'no-such.dcm'],
  ['profile', 'preview', '.'],
]) {
  await t.test(`${args.join(' ')} names the file`, async (t) => {
    const { code, err: stderr } = await clubhouse(args);
    t.equal(code, 1);
    t.equal(stderr, `clubhouse: the file ${args.at(-1) ?? ''} cannot be read\n`);
  });
}

await t.test('an export says that its signature could not be written', async (t) => {
  const { code, err: stderr } = await clubhouse([
    'audit',
    'export',
    '--signature',
    '/no-such/a.sig',
  ]);
  t.equal(code, 1);
  t.equal(stderr, 'clubhouse: cannot write /no-such/a.sig\n');
});

await t.test('a preview shows a file before and after, and leaves nothing behind', async (t) => {
  const file = join(home, 'scan.dcm');
  await writeFile(file, ctSlice({ patientName: gb18030('王^小东'), charset: 'GB18030' }));
  t.match(await clubhouse(['profile', 'preview', file]), {
    code: 0,
    out: /\(0010,0010\) +PatientName +王\^小东 +JI-PREVIEW +pseudonym\n(.*\n)*\d+ others stay as they are/,
  });
  const [preview] = await json<{ rows: { tag: string; after: string }[] }[]>([
    ...['profile', 'preview', file],
  ]);
  t.match(
    preview?.rows.find(({ tag }) => tag === '(0008,1140)[1] > (0008,1155)'),
    { change: 'changed', after: /^2\.25\./, action: 'hash-uid' },
  );
  const text = join(home, 'note.txt');
  await writeFile(text, 'no image');
  const two = await clubhouse(['profile', 'preview', file, text]);
  t.match(
    two.out,
    new RegExp(`^${file}: .*\\n(.*\\n)*${text}: would be held: other-file`, 'm'),
    'each file',
  );
  t.strictSame(await readdir(join(home, 'data/spool/scratch')), []);
});

/** As a list of our own has it: what a spreadsheet would take for a formula has an apostrophe more. */
const protect = (id: string): string => (/^'*[=+\-@]/.test(id) ? `'${id}` : id);

await t.test(
  'codes from a list are taken and given out as CSV, and both are audited',
  async (t) => {
    const list = join(home, 'codes.csv');
    await writeFile(list, gb18030('患者编号,编码,发布者\r\n=MRN99,S-01,\r\nMRN98,S-02,PUHSC\r\n'));
    const args = ['crosswalk', 'import', list, '--project', 'brain'];
    t.match(await clubhouse(args), { code: 0, out: /^Added 2 codes .*; 0 were there already/ });
    t.match(await clubhouse(args), { code: 0, out: /^Added 0 codes .*; 2 were there already/ });
    await writeFile(list, 'patientID,code\nMRN97,S-02\n');
    t.match(await clubhouse(args), { code: 1, err: /row 1: the code belongs to another patient/ });
    const exported = await clubhouse(['crosswalk', 'export', '--project', 'brain']);
    t.match(exported, {
      code: 0,
      out: /^code,patientID,issuer,.*\n"S-01","'=MRN99","",(.*\n)"S-02",/,
    });
    t.match(await json(['crosswalk', 'export', '--project', 'brain']), [
      { code: 'S-01', patientID: '=MRN99' },
      { code: 'S-02', patientID: 'MRN98', issuer: 'PUHSC' },
    ]);
    const odd = ['=1+1', "'=1+1", "''@a", "'plain", '-7', '+49', '@x', 'a"b', 'a;b,c', '王=1'];
    const quoted = (text: string): string => `"${text.replaceAll('"', '""')}"`;
    await writeFile(
      list,
      ['code,patientID', ...odd.map((id, at) => `S-1${at},${quoted(protect(id))}`)].join('\n'),
    );
    t.match(await clubhouse(args), { code: 0, out: /^Added 10 codes / });
    const rows = await json<{ code: string; patientID: string }[]>([
      ...['crosswalk', 'export', '--project', 'brain'],
    ]);
    t.same(
      rows.filter(({ code }) => code.startsWith('S-1')).map(({ patientID }) => patientID),
      odd,
    );
    const back = await clubhouse(['crosswalk', 'export', '--project', 'brain']);
    await writeFile(list, back.out);
    t.match(await clubhouse(args), { code: 0, out: /^Added 0 codes .*; 12 were there already/ });
    const audit = await json<{ action: string }[]>(['audit', 'list']);
    const count = (action: string): number => audit.filter((one) => one.action === action).length;
    t.equal(count('crosswalk.imported'), 4);
    t.equal(count('crosswalk.exported'), 4);
  },
);

await t.test('a removed user leaves nothing to its name, and nothing is deleted', async (t) => {
  await writeFile(join(home, 'data/home/ji_brain/alice/gpg/left.dcm'), 'bytes');
  const done = await clubhouse(['user', 'remove', 'alice']);
  t.equal(done.code, 0);
  const id = /data\/removed\/([0-9a-f-]+)/.exec(done.out)?.[1] ?? '';
  t.notOk(await exists('data/home/ji_brain/alice'));
  t.ok(await exists(`data/removed/${id}/ji_brain/gpg/left.dcm`));
  await clubhouse(['user', 'add', 'alice', '--project', 'brain']);
  t.same(await readdir(join(home, 'data/home/ji_brain/alice/gpg')), []);
});

await t.test('the trail is whole, and doctor finds a folder that others can read', async (t) => {
  t.equal((await clubhouse(['audit', 'verify'])).code, 0);
  t.equal((await clubhouse(['doctor'])).code, 0);
  await chmod(join(home, 'keys/master.key'), 0o644);
  const done = await clubhouse(['doctor']);
  t.equal(done.code, 1);
  t.match(done.out, /error +modes: .*master\.key/);
  await chmod(join(home, 'keys/master.key'), 0o600);
});

await t.test('--home beats CLUBHOUSE_HOME, and a folder without an instance is told', async (t) => {
  const done = await run(['project', 'list', '--json'], '', { CLUBHOUSE_HOME: home });
  t.equal((JSON.parse(done.out) as unknown[]).length, 2);
  const beaten = await run(['status', '--home', join(home, 'data')], '', { CLUBHOUSE_HOME: home });
  t.match(beaten, { code: 1, err: /run clubhouse init/ });
});

await t.test('a command under another account is refused, and makes nothing', async (t) => {
  const { geteuid } = process;
  const own = geteuid?.() ?? 0;
  t.teardown(() => Object.assign(process, { geteuid }));
  process.geteuid = () => own + 1;
  const err = `belongs to another account (user id ${own}, not ${own + 1}); run this under it`;
  for (const args of [['project', 'add', 'foreign'], ['status'], ['doctor'], ['serve']]) {
    const done = await clubhouse(args);
    t.match(done, { code: 1, out: '' }, args.join(' '));
    t.ok(done.err.includes(err), done.err);
  }
  Object.assign(process, { geteuid });
  t.notMatch((await clubhouse(['project', 'list'])).out, /foreign/);
});

await t.test('several held files are decided on at once, up to one that cannot be', async (t) => {
  const database = new Database(join(home, 'data/state/clubhouse.db'));
  const { projectId, memberId } = database
    .prepare('select "projectId", "memberId" from membership limit 1')
    .get() as { projectId: string; memberId: string };
  const ids = ['0000aa01', '0000aa02', '0000aa03'];
  for (const id of ids) {
    const path = `ji_brain/alice/gpg/${id}`;
    const owner = [projectId, memberId];
    database
      .prepare(
        `insert into upload (id, "projectId", "memberId", kind, path, generation, "touchedAt", sha256, "createdAt", "updatedAt")
         values (?, ?, ?, 'intake', ?, 1, 1, ?, 1, 1)`,
      )
      .run(`u${id}`, ...owner, path, id);
    database
      .prepare(
        `insert into job (id, "uploadId", "projectId", "memberId", partner, state, reason, "createdAt", "updatedAt")
         values (?, ?, ?, ?, 'UMHS', 'held', 'burned-in', 1, 1)`,
      )
      .run(id, `u${id}`, ...owner);
  }
  database.close();
  const [one = '', two = '', three = ''] = ids;
  const why = ['--reason', 'looked at'];
  t.match(await clubhouse(['held', 'release', one, two, ...why]), {
    code: 0,
    out: new RegExp(`^Released job ${one}; it is queued\\.\nReleased job ${two}; it is queued`),
  });
  t.match(await clubhouse(['held', 'reject', three, two, ...why]), {
    code: 1,
    out: `Rejected job ${three}; it is never passed on.\n`,
    err: /job 0000aa02 is queued, not held or failed/,
  });
  t.match(await clubhouse(['job', 'retry', one]), {
    code: 1,
    err: /job 0000aa01 is queued, not failed or waiting/,
  });
});

await t.test('status tells of files that a partner did not take', async (t) => {
  const database = new Database(join(home, 'data/state/clubhouse.db'));
  const { id } = database.prepare(`select id from project where name = 'brain'`).get() as {
    id: string;
  };
  const insert = database.prepare(
    `insert into delivery (id, "projectId", partner, path, "sizeBytes", "modifiedMs", inode, state, "createdAt", "updatedAt")
     values (?, ?, 'UMHS', ?, 1, 1, '1', ?, 1, 1)`,
  );
  for (const [n, state] of ['conflict', 'conflict', 'failed', 'delivered'].entries()) {
    insert.run(`d${n}`, id, `${n}.txt`, state);
  }
  database.close();
  const { attention } = await json<{ attention: string[] }>(['status']);
  t.match(
    attention.filter((line) => line.includes('replicate status')),
    [/UMHS holds other files .* 2 files/, /1 file did not get to partner UMHS/],
  );
});
