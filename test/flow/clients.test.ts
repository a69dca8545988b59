// Every client that people use, in every situation: what it does on the wire as a short program, and what must come of it in
// the database, in the receipts, among the publications and on the disk, as data.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import {
  makeRig,
  openFor,
  place,
  remove,
  rename,
  seal,
  sha256,
  type Rig,
  type TestHandle,
} from '../support/fakes.ts';

/** What ends with a full stop is whole, as a DICOM file or a zip tells by its structure. */
const first = 'The first content.';
const second = 'The second one, longer than the first.';
const half = (text: string): string => text.slice(0, 9);

interface Client {
  /** Uploads all of it, over what is there. */
  upload(rig: Rig, name: string, text: string): Promise<void>;
  /** A person stops it half way. */
  cancel(rig: Rig, name: string, text: string): Promise<void>;
  /** Goes on after `cancel`, as far as it can. */
  resume(rig: Rig, name: string, text: string): Promise<void>;
}

async function write(handle: TestHandle, text: string, from = 0): Promise<void> {
  for (let at = from; at < text.length; at += 8) await handle.write(at, text.slice(at, at + 8));
}

type Flags = Parameters<typeof openFor>[2];

/** Opens with the flags, writes from an offset, ends. */
async function put(
  rig: Rig,
  name: string,
  text: string,
  how: { flags?: Flags; from?: number; end?: 'close' | 'lost'; setsSize?: boolean } = {},
): Promise<void> {
  const handle = await openFor(rig, name, how.flags ?? { truncate: true });
  await write(handle, text, how.from);
  if (how.setsSize === true) await handle.size(text.length);
  await handle.end(how.end ?? 'close');
}

const touch = (rig: Rig, name: string): Promise<void> =>
  rig.storage.setTimes(place(name).path, 1_000, 2_000);

const over = (rig: Rig, name: string): boolean =>
  existsSync(join(rig.folder, 'home', place(name).path));

/** Uploads under another name, which it ends by a rename over what was there. */
async function finishName(rig: Rig, from: string, to: string): Promise<void> {
  if (over(rig, to)) await remove(rig, to);
  await rename(rig, from, to);
  await touch(rig, to);
}

const noTruncate = { create: false } as const;

const clients: Readonly<Record<string, Client>> = {
  'OpenSSH sftp': {
    upload: (rig, name, text) => put(rig, name, text),
    cancel: (rig, name, text) => put(rig, name, half(text)),
    resume: (rig, name, text) => put(rig, name, text, { flags: noTruncate, from: 9 }),
  },
  'OpenSSH scp': {
    upload: (rig, name, text) => put(rig, name, text, { flags: {}, setsSize: true }),
    cancel: (rig, name, text) => put(rig, name, half(text), { flags: {}, end: 'lost' }),
    resume: (rig, name, text) => put(rig, name, text, { flags: {}, setsSize: true }),
  },
  'WinSCP, large': {
    upload: async (rig, name, text) => {
      const flags = { truncate: true, declared: text.length };
      await put(rig, `${name}.filepart`, text, { flags });
      await finishName(rig, `${name}.filepart`, name);
    },
    cancel: (rig, name, text) =>
      put(rig, `${name}.filepart`, half(text), {
        flags: { truncate: true, declared: text.length },
      }),
    resume: async (rig, name, text) => {
      await put(rig, `${name}.filepart`, text, { flags: noTruncate, from: 9 });
      await finishName(rig, `${name}.filepart`, name);
    },
  },
  'WinSCP, small': {
    upload: async (rig, name, text) => {
      await put(rig, name, text);
      await touch(rig, name);
    },
    cancel: async (rig, name, text) => {
      await put(rig, name, half(text));
      await remove(rig, name);
    },
    resume: (rig, name, text) => put(rig, name, text),
  },
  FileZilla: {
    upload: async (rig, name, text) => {
      await put(rig, name, text);
      await touch(rig, name);
    },
    cancel: (rig, name, text) => put(rig, name, half(text), { end: 'lost' }),
    resume: (rig, name, text) => put(rig, name, text, { flags: noTruncate, from: 9 }),
  },
  rclone: {
    upload: async (rig, name, text) => {
      const handle = await openFor(rig, `${name}.0a1b2c3d.partial`, { truncate: true });
      await handle.write(8, text.slice(8));
      await handle.write(0, text.slice(0, 8));
      await handle.end('close');
      await touch(rig, `${name}.0a1b2c3d.partial`);
      await rename(rig, `${name}.0a1b2c3d.partial`, name);
    },
    cancel: async (rig, name, text) => {
      await put(rig, `${name}.0a1b2c3d.partial`, half(text));
      await remove(rig, `${name}.0a1b2c3d.partial`);
    },
    resume: (rig, name, text) => clients['rclone']?.upload(rig, name, text) ?? Promise.resolve(),
  },
  lftp: {
    upload: (rig, name, text) => put(rig, name, text, { setsSize: true }),
    cancel: (rig, name, text) => put(rig, name, half(text), { end: 'lost' }),
    resume: (rig, name, text) =>
      put(rig, name, text, { flags: noTruncate, from: 9, setsSize: true }),
  },
  paramiko: {
    upload: (rig, name, text) => put(rig, name, text),
    cancel: (rig, name, text) => put(rig, name, half(text)),
    resume: (rig, name, text) => put(rig, name, text),
  },
  sshfs: {
    upload: async (rig, name, text) => {
      await put(rig, name, '');
      await put(rig, name, text, { flags: noTruncate });
    },
    cancel: async (rig, name, text) => {
      await put(rig, name, '');
      await put(rig, name, half(text), { flags: noTruncate, end: 'lost' });
    },
    resume: (rig, name, text) => put(rig, name, text, { flags: noTruncate, from: 9 }),
  },
};

/** The processor stops at a file until the test lets it go on. */
async function whileProcessed(rig: Rig, act: () => Promise<void>): Promise<void> {
  const answer = rig.processor.answer;
  let isFirst = true;
  rig.processor.answer = async (task, bytes) => {
    if (isFirst) {
      isFirst = false;
      await act();
    }
    return answer(task, bytes);
  };
  await rig.settle();
}

type Situation = (rig: Rig, client: Client) => Promise<void>;

const situations: Readonly<Record<string, Situation>> = {
  upload: (rig, client) => client.upload(rig, 'a.dcm', first),
  cancel: (rig, client) => client.cancel(rig, 'a.dcm', first),
  'cancel, resume': async (rig, client) => {
    await client.cancel(rig, 'a.dcm', first);
    await rig.settle();
    await client.resume(rig, 'a.dcm', first);
  },
  'overwrite while queued': async (rig, client) => {
    rig.recipients.set('UMHS', []);
    await client.upload(rig, 'a.dcm', first);
    await rig.settle();
    await client.upload(rig, 'a.dcm', second);
    rig.recipients.set('UMHS', ['key']);
    rig.clock.advance(31_000);
  },
  'overwrite while processing': async (rig, client) => {
    await client.upload(rig, 'a.dcm', first);
    await whileProcessed(rig, () => client.upload(rig, 'a.dcm', second));
  },
  'overwrite a published one': async (rig, client) => {
    await client.upload(rig, 'a.dcm', first);
    await rig.settle();
    await client.upload(rig, 'a.dcm', second);
  },
  'cancel over a published one': async (rig, client) => {
    await client.upload(rig, 'a.dcm', first);
    await rig.settle();
    await client.cancel(rig, 'a.dcm', second);
  },
  'delete before the claim': async (rig, client) => {
    await client.upload(rig, 'a.dcm', first);
    await remove(rig, 'a.dcm');
  },
  'delete after the claim': async (rig, client) => {
    await client.upload(rig, 'a.dcm', first);
    await whileProcessed(rig, () => remove(rig, 'a.dcm'));
  },
  'rename to a temporary name': async (rig, client) => {
    await client.upload(rig, 'a.dcm', first);
    await rename(rig, 'a.dcm', 'a.dcm.tmp');
  },
  'and back': async (rig, client) => {
    await client.upload(rig, 'a.dcm', first);
    await rename(rig, 'a.dcm', 'a.dcm.tmp');
    await rig.settle();
    await rename(rig, 'a.dcm.tmp', 'a.dcm');
  },
  'SETSTAT after CLOSE': async (rig, client) => {
    await client.upload(rig, 'a.dcm', first);
    rig.clock.advance(3_000);
    await touch(rig, 'a.dcm');
    rig.clock.advance(2_001);
  },
};

/** States of all generations but withdrawn ones; what is published; raw files; what the receipts say. */
interface Outcome {
  readonly states: string;
  readonly published: string;
  readonly raw: string;
  readonly receipts: string;
}

const done: Outcome = {
  states: 'published',
  published: 'first',
  raw: 'a.dcm',
  receipts: 'published',
};
const nothing: Outcome = { states: '', published: '', raw: '', receipts: '' };
const newer: Outcome = { ...done, states: 'superseded, published', published: 'second' };
const part = (reason: string, raw = 'a.dcm'): Outcome => ({
  states: `partial ${reason}`,
  published: '',
  raw,
  receipts: 'not whole yet',
});
/** The earlier publication stays as long as there is nothing better. */
const kept = (reason: string, raw = 'a.dcm'): Outcome => ({
  ...part(reason, raw),
  states: `published, partial ${reason}`,
  published: 'first',
});

const expected: Readonly<Record<string, Outcome>> = {
  upload: done,
  cancel: part('disconnected'),
  'cancel, resume': done,
  'overwrite while queued': { ...done, published: 'second' },
  'overwrite while processing': newer,
  'overwrite a published one': newer,
  'cancel over a published one': kept('disconnected'),
  'delete before the claim': nothing,
  'delete after the claim': { ...done, raw: '' },
  'rename to a temporary name': part('temporary-name', 'a.dcm.tmp'),
  'and back': done,
  'SETSTAT after CLOSE': done,
};

const closesWhenCancelled: Readonly<Record<string, Outcome>> = {
  cancel: part('truncated'),
  'cancel over a published one': kept('truncated'),
};

/** Where a client's way leads to something else. */
const otherwise: Readonly<Record<string, Readonly<Record<string, Outcome>>>> = {
  'OpenSSH sftp': closesWhenCancelled,
  paramiko: closesWhenCancelled,
  'WinSCP, large': {
    cancel: part('temporary-name', 'a.dcm.filepart'),
    'cancel over a published one': {
      ...kept('temporary-name', 'a.dcm, a.dcm.filepart'),
      receipts: 'not whole yet, published',
    },
  },
  'WinSCP, small': { cancel: nothing, 'cancel over a published one': { ...done, raw: '' } },
  rclone: { cancel: nothing, 'cancel over a published one': done },
};

async function outcomeOf(rig: Rig): Promise<Outcome> {
  const rows = await rig.db
    .selectFrom('job')
    .innerJoin('upload', 'upload.id', 'job.uploadId')
    .select(['job.state', 'job.reason', 'job.output', 'job.outputSha256', 'upload.sha256'])
    .where('job.state', '<>', 'withdrawn')
    .orderBy('upload.createdAt')
    .orderBy('upload.id')
    .execute();
  const home = join(rig.folder, 'home/ji_brain');
  const names: Readonly<Record<string, string>> = {
    [sha256(first)]: 'first',
    [sha256(second)]: 'second',
  };
  const outgoing = join(home, 'club_house/From_PUHSC_To_UMHS');
  const files = readdirSync(outgoing, { recursive: true, withFileTypes: true });
  const published = files
    .filter((file) => file.isFile())
    .map((file) => {
      const digest = sha256(readFileSync(join(file.parentPath, file.name)));
      const row = rows.find((one) => one.outputSha256 === digest);
      return row?.state === 'published' ? names[row.sha256 ?? ''] : 'a stranger';
    });
  const receipts = readdirSync(join(home, 'alice/receipts')).map((name) => {
    const text = readFileSync(join(home, 'alice/receipts', name), 'utf8');
    return /State: (not whole yet|\w+)/.exec(text)?.[1] ?? 'no state';
  });
  return {
    states: rows
      .map(({ state, reason }) => (reason === null ? state : `${state} ${reason}`))
      .join(', '),
    published: published.join(', '),
    raw: readdirSync(join(home, 'alice/gpg')).sort().join(', '),
    receipts: receipts
      .filter((state) => state !== 'withdrawn')
      .sort()
      .join(', '),
  };
}

for (const [name, client] of Object.entries(clients)) {
  void t.test(`${name}, in every situation`, async (t) => {
    for (const [situation, act] of Object.entries(situations)) {
      const rig = await makeRig({ isFast: true, width: 1 });
      rig.processor.answer = (task, bytes) =>
        bytes.toString().endsWith('.')
          ? seal(task, bytes)
          : Promise.resolve({ kind: 'partial', reason: 'truncated' });
      await act(rig, client);
      await rig.settle();
      const wanted = otherwise[name]?.[situation] ?? expected[situation];
      t.strictSame(await outcomeOf(rig), wanted, situation);
      t.strictSame(await rig.storage.listSpool('claims'), [], `${situation}: no claim is left`);
      await rig.close();
    }
  });
}
