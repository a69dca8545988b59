// What an instance cannot be made anew from is on the disk, with its names, before anybody is told that it is there.

import { mkdtemp, mkdir, open, readlink, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import t, { type Test } from 'tap';
import { createInstanceFiles, makeInstance } from '../../src/adapters/instance-files.ts';
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
