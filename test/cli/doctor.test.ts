// `clubhouse doctor` on instances that are damaged, one way each: what it says, and how it ends.

import { chmod, mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Sqlite from 'better-sqlite3';
import t from 'tap';
import { here } from '../support/command-line.ts';

t.setTimeout(300_000);

const root = await mkdtemp(join(tmpdir(), 'clubhouse-doctor-'));
t.teardown(() => rm(root, { recursive: true, force: true }));
const home = join(root, 'site');
const outgoing = join(home, 'data/home/ji_brain/club_house/From_PUHSC_To_UMHS');
const keys = join(home, 'keys');

/** A published job of a sound instance, its raw file and its output. */
const rows = `
  insert into member (id, name, "createdAt") values ('m', 'alice', 0);
  insert into upload (id, "projectId", "memberId", kind, path, generation, "touchedAt", "createdAt", "updatedAt")
    select 'u', id, 'm', 'intake', 'ji_brain/alice/gpg/1.dcm', 1, 0, 0, 0 from project;
  insert into job (id, "uploadId", "projectId", "memberId", partner, state, output, "outputBytes", "createdAt", "updatedAt")
    select 'job-1', 'u', id, 'm', 'UMHS', 'published', 'gpg-alice/1.gpg', 6, 0, 0 from project`;

const sql = (statements: string): void => {
  const database = new Sqlite(join(home, 'data/state/clubhouse.db'));
  try {
    database.exec(statements);
  } finally {
    database.close();
  }
};

const raw = join(home, 'data/home/ji_brain/alice/gpg/1.dcm');
const sealed = join(outgoing, 'gpg-alice/1.gpg');
const away = (path: string) => async (): Promise<() => Promise<void>> => {
  await rename(path, join(root, 'away'));
  return () => rename(join(root, 'away'), path);
};
const extra = (path: string) => async (): Promise<() => Promise<void>> => {
  await mkdir(join(path, '..'), { recursive: true, mode: 0o700 });
  await writeFile(path, 'x', { mode: 0o600 });
  return () => rm(path);
};
/** A link to itself in its place: nobody can read that, root neither. */
const unreadable = (path: string) => async (): Promise<() => Promise<void>> => {
  const back = await away(path)();
  await symlink(path, path);
  return async () => {
    await rm(path);
    await back();
  };
};
const said = (statements: string, undo: string) => async (): Promise<() => Promise<void>> => {
  sql(statements);
  return async () => sql(undo);
};

interface Damage {
  /** Answers how to mend it. */
  readonly how: () => Promise<() => Promise<void>>;
  readonly code: 0 | 1;
  readonly told: RegExp;
}

const damages: Readonly<Record<string, Damage>> = {
  'a published file is gone': {
    how: away(sealed),
    code: 1,
    told: /error +published files: 1 are gone .*job-1/,
  },
  'a published file has another size': {
    how: async () => {
      await writeFile(sealed, 'longer than it was');
      return () => writeFile(sealed, 'sealed');
    },
    code: 1,
    told: /error +published files: 1 have another size/,
  },
  'a delivered file is gone': {
    how: async () => {
      sql(`update job set state = 'delivered'`);
      const back = await away(sealed)();
      return async () => {
        sql(`update job set state = 'published'`);
        await back();
      };
    },
    code: 0,
    told: /warning delivered files: 1 are not here/,
  },
  'an upload that is owed work is gone': {
    how: async () => {
      sql(`update job set state = 'queued'`);
      const back = await away(raw)();
      return async () => {
        sql(`update job set state = 'published'`);
        await back();
      };
    },
    code: 1,
    told: /error +uploads: 1 are owed work/,
  },
  'a stranger lies in a gpg- folder': {
    how: extra(join(outgoing, 'gpg-alice/other.gpg')),
    code: 0,
    told: /warning gpg- folders: 1 were not made/,
  },
  'a claim belongs to nothing': {
    how: extra(join(home, 'data/spool/claims/nobody')),
    code: 0,
    told: /warning data\/spool: 1 belong to nothing/,
  },
  'a restore was not ended': {
    how: extra(join(home, '.restoring')),
    code: 0,
    told: /warning restore: a restore was not ended/,
  },
  'others can read a key': {
    how: async () => {
      await chmod(join(keys, 'host_rsa'), 0o644);
      return () => chmod(join(keys, 'host_rsa'), 0o600);
    },
    code: 1,
    told: /error +modes: others can read/,
  },
  'a host key is gone': {
    how: away(join(keys, 'host_rsa')),
    code: 1,
    told: /error +keys\/host_rsa/,
  },
  'an outgoing folder cannot be read': {
    how: unreadable(outgoing),
    code: 1,
    told: /ok +database.*error +data: 1 folders cannot be read, .*\(ELOOP in brain for UMHS\)/s,
  },
  'the server could not read an intake': {
    how: said(
      `insert into unread_root select id, 'm', '', 'STORAGE_FAILED', 'EIO', 0 from project;
       insert into unread_root select id, '', 'UMHS', 'STORAGE_FAILED', 'EACCES', 0 from project`,
      'delete from unread_root',
    ),
    code: 1,
    told: /error +folders: the outgoing folder for UMHS in brain cannot be read whole since 1970-01-01 00:00 UTC \(STORAGE_FAILED, EACCES\).*error +folders: the intake of alice in brain cannot be read whole/s,
  },
  'a folder of the spool cannot be read': {
    how: unreadable(join(home, 'data/spool/claims')),
    code: 1,
    told: /ok +database.*error +data: 1 folders cannot be read, .*\(ELOOP data\/spool\/claims\)/s,
  },
  'the end of the audit trail is cut off': {
    how: said(
      `create table kept as select * from audit where seq = (select max(seq) from audit);
       delete from audit where seq = (select max(seq) from audit)`,
      'insert into audit select * from kept; drop table kept',
    ),
    code: 1,
    told: /error +audit: broken at entry \d+: entries are missing/,
  },
  'the note of how far the audit trail reached is gone': {
    how: away(join(keys, 'audit.head')),
    code: 1,
    told: /error +audit: .*keys\/audit.head.* is gone/,
  },
};

void t.test('doctor', async (t) => {
  t.equal((await here(['init', '--site', 'PUHSC', '--home', home])).code, 0);
  t.equal((await here(['project', 'add', 'brain', '--partner', 'UMHS', '--home', home])).code, 0);
  sql(rows);
  for (const [path, text] of [
    [raw, 'raw'],
    [sealed, 'sealed'],
  ] as const) {
    await mkdir(join(path, '..'), { recursive: true, mode: 0o700 });
    await writeFile(path, text, { mode: 0o600 });
  }
  const sound = async (): Promise<boolean> => {
    const { code, out } = await here(['doctor', '--home', home]);
    return code === 0 && /ok +files: what the database speaks of is on the disk/.test(out);
  };
  t.ok(await sound(), 'is content with a sound instance');
  for (const [name, { how, code, told }] of Object.entries(damages)) {
    await t.test(`tells that ${name}`, async (t) => {
      const mend = await how();
      t.match(await here(['doctor', '--home', home]), { code, out: told });
      await mend();
    });
  }
  await t.test('an older program leaves the database of a newer one alone', async (t) => {
    const database = new Sqlite(join(home, 'data/state/clubhouse.db'));
    const version = Number(database.pragma('user_version', { simple: true }));
    database.pragma(`user_version = ${version + 1}`);
    const told = await here(['status', '--home', home]);
    t.match(told, { code: 1, err: /clubhouse\.db is of a newer version of Clubhouse; install/ });
    t.equal(database.pragma('user_version', { simple: true }), version + 1);
    database.pragma(`user_version = ${version}`);
    database.close();
  });
  t.ok(await sound(), 'and is content again');
});
