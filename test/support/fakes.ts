// An instance's intake and worker on a real database and real files, with a clock that the test moves and a processor
// that answers what the test says. `restart` makes everything anew on the same folder, as after a crash.

import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AuditLog } from '../../src/adapters/sql/audit.ts';
import { createJobDesk } from '../../src/adapters/sql/desk.ts';
import { createJobStore } from '../../src/adapters/sql/jobs.ts';
import { createReceiptStore } from '../../src/adapters/sql/receipts.ts';
import { openSqlite } from '../../src/adapters/sql/sqlite.ts';
import { createArrivals, createUnreadRoots } from '../../src/adapters/sql/upkeep.ts';
import { createUploadStore } from '../../src/adapters/sql/uploads.ts';
import { createStorage } from '../../src/adapters/storage.ts';
import { AppError } from '../../src/core/errors.ts';
import { temporaryNames } from '../../src/core/upload.ts';
import { createGate } from '../../src/flow/gate.ts';
import { createIntake } from '../../src/flow/intake.ts';
import type { Principal } from '../../src/flow/ports/accounts.ts';
import type { Clock, Log } from '../../src/flow/ports/clock.ts';
import type { Writing, WritePlace } from '../../src/flow/ports/intake.ts';
import type { ProcessOutcome, Processor, ProcessTask } from '../../src/flow/ports/processing.ts';
import type { OpenFile, OpenHow } from '../../src/flow/ports/storage.ts';
import { createWorker, type WorkerParts } from '../../src/flow/worker.ts';

export const silentLog: Log = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};

/** Stands still until the test moves it. */
export class TestClock implements Clock {
  #now: number;
  readonly #sleepers = new Set<() => void>();

  constructor(now: number) {
    this.#now = now;
  }

  now(): number {
    return this.#now;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    const until = this.#now + ms;
    return new Promise((resolve, reject) => {
      const look = (): void => {
        const isOver = this.#now >= until || signal?.aborted === true;
        if (!isOver) return;
        this.#sleepers.delete(look);
        if (signal?.aborted === true) reject(new AppError('BUSY'));
        else resolve();
      };
      this.#sleepers.add(look);
      signal?.addEventListener('abort', look, { once: true });
      look();
    });
  }

  advance(ms: number): void {
    this.#now += ms;
    for (const look of this.#sleepers) look();
  }
}

export const sha256 = (bytes: Uint8Array | string): string =>
  createHash('sha256').update(bytes).digest('hex');

export type Answer = (task: ProcessTask, bytes: Buffer) => Promise<ProcessOutcome>;

let sealed = 0;

/** Seals anything; no two outputs are alike, as with OpenPGP. */
export const seal: Answer = async (task, bytes) => {
  sealed += 1;
  const output = Buffer.from(`sealed ${sealed}: ${bytes.length}`);
  await writeFile(task.output, output, { flag: 'wx', mode: 0o600 });
  return {
    kind: 'sealed',
    name: `JI-1/CT_1_1_${sha256(task.uploadKey).slice(0, 8)}.dcm.gpg`,
    sizeBytes: output.length,
    sha256: sha256(output),
    recipientFingerprints: ['AA', 'BB'],
    sourceSha256: sha256(bytes),
    exclusions: [],
    report: { files: 1, dicomFiles: 1, actions: {}, subjects: ['JI-1'] },
  };
};

export class FakeProcessor implements Processor {
  readonly width: number;
  readonly tasks: ProcessTask[] = [];
  answer: Answer = seal;

  constructor(width = 2) {
    this.width = width;
  }

  async run(task: ProcessTask, signal: AbortSignal): Promise<ProcessOutcome> {
    this.tasks.push(task);
    const aborted = new Promise<never>((_resolve, reject) => {
      signal.addEventListener('abort', () => reject(new AppError('BUSY')), { once: true });
    });
    const work = readFile(task.source).then((bytes) => this.answer(task, bytes));
    return Promise.race([work, aborted]);
  }

  stop(): Promise<void> {
    return Promise.resolve();
  }
}

export const settleMs = 5000;
const hour = 3_600_000;

export type Rig = Awaited<ReturnType<typeof makeRig>>;

/** One project `brain` of site PUHSC with the given partners and the members alice and bob. */
export async function makeRig(
  how: {
    partners?: readonly string[];
    width?: number;
    /** In memory where the machine can: for tests that would wait for the disk most of their time. */
    isFast?: boolean;
    /** In the place of the fake one. */
    processor?: Processor;
    /** Lays out what is there at the start; otherwise there is an empty project. */
    prepare?: (folder: string, clock: TestClock) => void;
  } = {},
) {
  const base = how.isFast === true && existsSync('/dev/shm') ? '/dev/shm' : tmpdir();
  const folder = await mkdtemp(join(base, 'clubhouse-flow-'));
  const clock = new TestClock(Date.UTC(2026, 0, 5, 12));
  const processor = new FakeProcessor(how.width);
  const recipients = new Map((how.partners ?? ['UMHS']).map((code) => [code, [`key of ${code}`]]));
  const profile = { hash: 'profile-1' };
  const directDicom: { value: 'hold' | 'allow' } = { value: 'hold' };

  const build = async () => {
    const database = await openSqlite(join(folder, 'clubhouse.db'));
    const { db } = database;
    const audit = new AuditLog(new Uint8Array(32), clock);
    const storage = await createStorage({
      home: join(folder, 'home'),
      spool: join(folder, 'spool'),
    });
    const sql = { db, audit, clock };
    const uploads = createUploadStore(sql);
    const jobs = createJobStore(sql);
    const gate = createGate();
    const arrivals = createArrivals(db);
    const shared = { uploads, arrivals, jobs, storage, gate, clock, log: silentLog, settleMs };
    const parts: WorkerParts = {
      ...shared,
      receipts: createReceiptStore(db),
      unread: createUnreadRoots(sql),
      processor: how.processor ?? processor,
      facts: {
        profileFor: () => Promise.resolve({ json: '{}', hash: profile.hash }),
        recipientsFor: (_project, partner) => Promise.resolve(recipients.get(partner) ?? []),
        settingsFor: () => Promise.resolve({ directDicom: directDicom.value }),
      },
      projectKeys: () => ({ uid: '', name: '', identity: '' }),
      limits: {
        headerBytes: 1,
        inflatedBytes: 1,
        inflateRatio: 1,
        zipEntries: 1,
        zipDepth: 1,
      },
      owner: 'test',
      site: 'PUHSC',
      dataVersion: () => database.dataVersion(),
      keyWatch: { look: () => Promise.resolve() },
      temporaryNames,
      settings: { partialHoldMs: 24 * hour, retainMs: 7 * 24 * hour },
    };
    const intake = createIntake(shared);
    const desk = createJobDesk({ ...sql, site: 'PUHSC' });
    return { database, db, audit, storage, uploads, jobs, gate, parts, intake, desk };
  };

  if (how.prepare !== undefined) how.prepare(folder, clock);
  else await writeFile(join(folder, 'clubhouse.db'), await seededFile(how.partners ?? ['UMHS']));
  let now = { ...(await build()) };
  let worker = createWorker(now.parts);

  const rig = {
    folder,
    clock,
    processor,
    recipients,
    profile,
    directDicom,
    get db() {
      return now.db;
    },
    get storage() {
      return now.storage;
    },
    get intake() {
      return now.intake;
    },
    get desk() {
      return now.desk;
    },
    get uploads() {
      return now.uploads;
    },
    get jobs() {
      return now.jobs;
    },
    get parts() {
      return now.parts;
    },
    get worker() {
      return worker;
    },
    get audit() {
      return now.audit;
    },
    /** Drops everything in memory without a word to anybody, and starts again on the same folder. */
    restart: async (): Promise<void> => {
      await now.database.close();
      await now.storage.close();
      now = { ...(await build()) };
      await rig.recover();
    },
    /** What a server does when it starts. */
    recover: async (): Promise<void> => {
      worker = createWorker(now.parts);
      await worker.start();
      await worker.stop(0);
      worker = createWorker(now.parts);
    },
    /** Turns until nothing moves any more. */
    run: async (): Promise<void> => {
      for (let quiet = 0; quiet < 2;) {
        const hasMoved = await worker.turn();
        await worker.idle();
        clock.advance(400);
        quiet = hasMoved ? 0 : quiet + 1;
      }
    },
    /** Lets uploads settle, then runs. */
    settle: async (): Promise<void> => {
      clock.advance(settleMs + 1);
      await rig.run();
    },
    /** `name: state reason`, for each job. */
    states: async (): Promise<Record<string, string>> => {
      const rows = await now.desk.list();
      return Object.fromEntries(
        rows.map((row) => [
          row.upload.slice(row.upload.lastIndexOf('/') + 1),
          row.reason === null ? row.state : `${row.state} ${row.reason}`,
        ]),
      );
    },
    read: (path: string): Promise<string> => readFile(join(folder, 'home', path), 'utf8'),
    close: async (): Promise<void> => {
      await worker.stop(0);
      await now.database.close();
      await now.storage.close();
      await rm(folder, { recursive: true });
    },
  };
  for (const member of ['alice', 'bob']) {
    await now.storage.ensureFolder(`ji_brain/${member}/gpg`);
    await now.storage.ensureFolder(`ji_brain/${member}/receipts`);
  }
  for (const partner of how.partners ?? ['UMHS']) {
    await now.storage.ensureFolder(`ji_brain/club_house/From_PUHSC_To_${partner}`);
  }
  return rig;
}

const seededFiles = new Map<string, Promise<Buffer>>();

/** The database that each rig starts with; made once a process, since making the tables takes longer than most tests. */
function seededFile(partners: readonly string[]): Promise<Buffer> {
  const key = partners.join();
  const make = async (): Promise<Buffer> => {
    const folder = await mkdtemp(join(tmpdir(), 'clubhouse-seed-'));
    try {
      const database = await openSqlite(join(folder, 'seed.db'));
      await seed(database.db, partners);
      // Closing brings what is in the log into the file.
      await database.close();
      return await readFile(join(folder, 'seed.db'));
    } finally {
      await rm(folder, { recursive: true });
    }
  };
  const file = seededFiles.get(key) ?? make();
  seededFiles.set(key, file);
  return file;
}

async function seed(
  db: Awaited<ReturnType<typeof openSqlite>>['db'],
  partners: readonly string[],
): Promise<void> {
  await db.insertInto('project').values({ id: 'p1', name: 'brain', createdAt: 1 }).execute();
  for (const partner of partners) {
    await db.insertInto('project_partner').values({ projectId: 'p1', partner }).execute();
  }
  const nothing = { passwordHash: null, expiresAt: null, removedAt: null };
  for (const name of ['alice', 'bob']) {
    const id = `m-${name}`;
    await db
      .insertInto('member')
      .values({ id, name, createdAt: 1, ...nothing })
      .execute();
    await db.insertInto('membership').values({ memberId: id, projectId: 'p1' }).execute();
  }
}

export const principal = (name: string): Principal => ({
  kind: 'member',
  id: `m-${name}`,
  name,
  projects: [{ id: 'p1', name: 'brain', partners: ['UMHS'] }],
});

/** `x.dcm` and `sub/x.dcm` are in alice's intake, `/x` in her own folder, `>x` in the outgoing one. */
export function place(path: string): WritePlace {
  if (path.startsWith('/')) {
    return { path: `ji_brain/alice${path}`, projectId: 'p1', area: 'plain', partner: undefined };
  }
  if (path.startsWith('>')) {
    const below = `ji_brain/club_house/From_PUHSC_To_UMHS/${path.slice(1)}`;
    return { path: below, projectId: 'p1', area: 'direct', partner: 'UMHS' };
  }
  const below = path === '' ? '' : `/${path}`;
  const full = `ji_brain/alice/gpg${below}`;
  return { path: full, projectId: 'p1', area: 'intake', partner: undefined };
}

export interface TestHandle {
  write(offset: number, text: string): Promise<void>;
  size(bytes: number): Promise<void>;
  end(how: 'close' | 'lost'): Promise<void>;
  readonly writing: Writing;
}

/** Opens for writing as the SFTP server does. */
export async function openFor(
  rig: Rig,
  path: string | WritePlace,
  flags: Partial<OpenHow> & { declared?: number; who?: string } = {},
): Promise<TestHandle> {
  const { declared, who, ...rest } = flags;
  const how = {
    ...{ read: false, write: true, create: true, exclusive: false },
    ...{ truncate: false, freshInode: false },
    ...rest,
    declaredSizeBytes: declared,
  };
  const at = typeof path === 'string' ? place(path) : path;
  const { file, writing } = await rig.intake.open(principal(who ?? 'alice'), at, how, (plain) =>
    rig.storage.open(at.path, plain),
  );
  return asHandle(file, writing);
}

const asHandle = (file: OpenFile, writing: Writing): TestHandle => ({
  writing,
  write: async (offset, text) => {
    const bytes = Buffer.from(text);
    await file.write(offset, [bytes]);
    writing.wrote(offset, bytes.length);
  },
  size: async (bytes) => {
    await file.truncate(bytes);
    writing.truncated(bytes);
  },
  end: async (how) => {
    await writing.end(how);
    await file.close();
  },
});

/** A whole upload, closed. */
export async function upload(rig: Rig, path: string, text: string, who?: string): Promise<void> {
  const handle = await openFor(rig, path, {
    truncate: true,
    ...(who === undefined ? {} : { who }),
  });
  await handle.write(0, text);
  await handle.end('close');
}

export async function rename(rig: Rig, from: string, to: string, isFolder = false): Promise<void> {
  await rig.intake.change(
    principal('alice'),
    { kind: 'rename', from: place(from), to: place(to), isFolder },
    () => rig.storage.rename(place(from).path, place(to).path, true),
  );
}

export async function remove(rig: Rig, path: string): Promise<void> {
  await rig.intake.change(principal('alice'), { kind: 'remove', place: place(path) }, () =>
    rig.storage.removeFile(place(path).path),
  );
}
