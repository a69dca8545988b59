// What an instance cannot be made anew from is on the disk, with its names, before anybody is told that it is there.

import { spawn } from 'node:child_process';
import { mkdtemp, mkdir, open, readdir, readlink, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import t, { type Test } from 'tap';
import { createInstanceFiles, makeInstance } from '../../src/adapters/instance-files.ts';
import { removeDeadParts } from '../../src/adapters/whole-file.ts';
import { isRunning } from '../../src/app-replication.ts';
import { instancePaths, type InstancePaths } from '../../src/core/instance.ts';

async function home(t: Test): Promise<{ paths: InstancePaths; folder: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'clubhouse-instance-'));
  t.teardown(() => rm(folder, { recursive: true }));
  return { paths: instancePaths(join(folder, 'home')), folder };
}

/** Which files and folders below `folder` are fsynced while `work` runs, in this order; `.` is the folder itself. */
async function synced(folder: string, work: () => Promise<unknown>): Promise<readonly string[]> {
  const probe = await open(folder, 'r');
  const handles = Object.getPrototypeOf(probe) as { sync(this: typeof probe): Promise<void> };
  const descriptor = Object.getOwnPropertyDescriptor(handles, 'sync');
  const sync = descriptor?.value as (this: typeof probe) => Promise<void>;
  const seen: string[] = [];
  handles.sync = async function (this: typeof probe) {
    seen.push(relative(folder, await readlink(`/proc/self/fd/${this.fd}`)) || '.');
    await sync.call(this);
  };
  try {
    await work();
  } finally {
    handles.sync = sync;
    await probe.close();
  }
  return seen;
}

void t.test('keys and configuration of a new instance', async (t) => {
  const { paths, folder } = await home(t);
  const seen = await synced(folder, () =>
    makeInstance(paths, { site: 'PUHSC', configText: 'site: PUHSC\n' }),
  );
  const secrets = ['host_ed25519', 'host_rsa', 'master.key', 'replicator_ed25519'];
  for (const name of secrets) {
    t.ok(seen.includes(`home/keys/${name}`), name);
    t.ok(seen.lastIndexOf('home/keys') > seen.indexOf(`home/keys/${name}`), `the name ${name}`);
  }
  t.strictSame(seen.slice(-2), ['home/config/clubhouse.yaml', 'home/config'], 'and that last');
  t.strictSame(
    ['.', 'home'].filter((at) => !seen.includes(at)),
    [],
  );
});

void t.test('a profile, and the end of a member’s folder', async (t) => {
  const { paths, folder } = await home(t);
  await mkdir(join(paths.tree, 'ji_brain/alice'), { recursive: true });
  const files = createInstanceFiles(paths, folder);
  const profile = await synced(folder, () => files.writeProfile('ours', 'a: 1\n'));
  t.match(profile.at(-1), relative(folder, paths.profiles));
  const retired = await synced(folder, () => files.retire('brain', 'alice', 'm-1'));
  t.ok(retired.includes(relative(folder, join(paths.tree, 'ji_brain'))), 'where it was');
  t.ok(retired.includes(relative(folder, join(paths.removed, 'm-1'))), 'where it is');
});

/** The number of a process that has ended. */
async function deadPid(): Promise<number> {
  const child = spawn(process.execPath, ['--version'], { stdio: 'ignore' });
  await new Promise((resolve) => child.once('exit', resolve));
  return child.pid ?? 0;
}

void t.test('what killed writers left goes, what a living one writes stays', async (t) => {
  const { folder } = await home(t);
  const dead = await deadPid();
  const now = Date.now();
  const old = (now - 120_000) / 1000;
  const gone = [`audit.head.${dead}.part`, `ours.yaml.${dead}.part`];
  const stays = [
    'audit.head',
    'audit.head.part',
    `.${dead}.part`,
    `audit.head.${dead}.part.txt`,
    `audit.head.${process.pid}.part`,
  ];
  for (const name of [...gone, ...stays]) {
    await writeFile(join(folder, name), '');
    await utimes(join(folder, name), old, old);
  }
  // Another container has processes that we do not see; what it writes is young.
  await writeFile(join(folder, `young.${dead}.part`), '');
  await mkdir(join(folder, `folder.${dead}.part`));
  await utimes(join(folder, `folder.${dead}.part`), old, old);
  const failures: unknown[] = [];
  await removeDeadParts([folder], { now, isRunning }, (errno) => failures.push(errno));
  const expected = [...stays, `young.${dead}.part`, `folder.${dead}.part`];
  t.strictSame((await readdir(folder)).sort(), expected.sort());
  t.strictSame(failures, []);
});
