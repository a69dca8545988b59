// The programs that senders use, behind one small language: what is to be done goes in, each says it in its own words.

import { spawnSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { asyncsshProgram, paramikoProgram } from './client-python.ts';
import { missing, run, type Finished } from './programs.ts';

export interface Op {
  readonly do:
    'put' | 'get' | 'resume put' | 'resume get' | 'rename' | 'put folder' | 'get folder' | 'list';
  /** Local names are below the working folder, the server's are absolute. */
  readonly from: string;
  /** Empty for `list`. */
  readonly to: string;
}

export interface Login {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  /** OpenSSH private key. */
  readonly keyFile: string;
  /** The local folder, and the home of the programs. */
  readonly work: string;
}

export interface ClientProgram {
  readonly name: string;
  /** What it cannot do, and why. */
  readonly cannot: Partial<Readonly<Record<Op['do'], string>>>;
  /** Names of files that it cannot send. */
  readonly cannotName?: RegExp;
  /** For tap's `skip`: false, or what is missing. */
  missing(): string | false;
  /** Does all of it, in order, and stops at the first that fails. */
  run(login: Login, ops: readonly Op[]): Promise<Finished>;
}

/** Ten thousand files take psftp minutes; tests have limits of their own. */
const timeoutMs = 900_000;
const start = (
  { work }: Login,
  program: string,
  args: readonly string[],
  input = '',
): Promise<Finished> =>
  run(program, args, {
    input,
    cwd: work,
    timeoutMs,
    env: { HOME: work, LC_ALL: 'C.UTF-8', XDG_CONFIG_HOME: work },
  });

const ssh = ({ keyFile }: Login): readonly string[] => [
  ...['-i', keyFile, '-o', 'IdentitiesOnly=yes', '-o', 'BatchMode=yes', '-o', 'LogLevel=ERROR'],
  ...['-o', 'StrictHostKeyChecking=no', '-o', 'UserKnownHostsFile=/dev/null'],
];

/** One process for each thing to do. */
async function each(ops: readonly Op[], one: (op: Op) => Promise<Finished>): Promise<Finished> {
  const all: Finished[] = [];
  for (const op of ops) {
    all.push(await one(op));
    if (all.at(-1)?.code !== 0) break;
  }
  return {
    code: all.at(-1)?.code ?? 0,
    stdout: Buffer.concat(all.map(({ stdout }) => stdout)),
    stderr: all.map(({ stderr }) => stderr).join(''),
  };
}

const quoted = (text: string): string => `"${text.replaceAll(/["\\]/g, '\\$&')}"`;
const lines = (
  ops: readonly Op[],
  words: Readonly<Record<Op['do'], string>>,
  separator = '\n',
): string =>
  ops
    .map((op) =>
      words[op.do].replace('FROM', () => quoted(op.from)).replace('TO', () => quoted(op.to)),
    )
    .join(separator);

const sftp: ClientProgram = {
  name: 'OpenSSH sftp',
  cannot: {},
  missing: () => missing('sftp'),
  run: (login, ops) =>
    start(
      login,
      'sftp',
      ['-b', '-', '-P', String(login.port), ...ssh(login), `${login.user}@${login.host}`],
      `${lines(ops, {
        put: 'put FROM TO',
        get: 'get FROM TO',
        'resume put': 'reput FROM TO',
        'resume get': 'reget FROM TO',
        rename: 'rename FROM TO',
        'put folder': 'put -r FROM TO',
        'get folder': 'get -r FROM TO',
        list: 'ls -1 FROM',
      })}\n`,
    ),
};

const noShell = 'scp copies, and nothing else';
const scp: ClientProgram = {
  name: 'OpenSSH scp',
  cannot: { 'resume put': noShell, 'resume get': noShell, rename: noShell, list: noShell },
  missing: () => missing('scp'),
  run: (login, ops) =>
    each(ops, (op) => {
      const there = `${login.user}@${login.host}:`;
      const isUp = op.do.startsWith('put');
      const folder = op.do.endsWith('folder') ? ['-r'] : [];
      const [from, to] = isUp ? [op.from, there + op.to] : [there + op.from, op.to];
      return start(login, 'scp', [...folder, '-P', String(login.port), ...ssh(login), from, to]);
    }),
};

const lftp: ClientProgram = {
  name: 'lftp',
  cannot: {},
  missing: () => missing('lftp'),
  run: (login, ops) => {
    const open = [
      'set cmd:fail-exit true; set net:max-retries 1; set xfer:clobber true',
      `set sftp:connect-program "ssh -a -x ${ssh(login).join(' ')}"`,
      `open -p ${login.port} -u ${login.user}, sftp://${login.host}`,
    ];
    const script = lines(
      ops,
      {
        put: 'put FROM -o TO',
        get: 'get FROM -o TO',
        'resume put': 'put -c FROM -o TO',
        'resume get': 'get -c FROM -o TO',
        rename: 'mv FROM TO',
        'put folder': 'mirror -R --parallel=4 FROM TO',
        'get folder': 'mirror --parallel=4 FROM TO',
        list: 'cls -1 --quiet FROM',
      },
      '; ',
    );
    return start(login, 'lftp', ['-c', [...open, script].join('; ')]);
  },
};

const rclone: ClientProgram = {
  name: 'rclone',
  cannot: { 'resume get': 'rclone starts anew' },
  // It writes them with ␊ instead.
  cannotName: /\n/,
  missing: () => missing('rclone'),
  run: (login, ops) =>
    each(ops, (op) => {
      const there = (path: string): string => `:sftp:${path}`;
      const words: Readonly<Record<Op['do'], readonly string[]>> = {
        put: ['copyto', op.from, there(op.to)],
        get: ['copyto', there(op.from), op.to],
        // A retry: it uploads anew over what is there.
        'resume put': ['copyto', op.from, there(op.to)],
        'resume get': [],
        rename: ['moveto', there(op.from), there(op.to)],
        'put folder': ['copy', op.from, there(op.to)],
        'get folder': ['copy', there(op.from), op.to],
        list: ['lsf', there(op.from)],
      };
      return start(login, 'rclone', [
        ...[
          '--config',
          '',
          '--retries',
          '1',
          '--low-level-retries',
          '1',
          '--transfers',
          '8',
          '--sftp-host',
          login.host,
        ],
        ...['--sftp-port', String(login.port), '--sftp-user', login.user],
        ...['--sftp-key-file', login.keyFile, '--local-no-check-updated', ...words[op.do]],
      ]);
    }),
};

const psftp: ClientProgram = {
  name: 'psftp',
  cannot: {},
  missing: () => missing('psftp', 'puttygen', 'ssh-keyscan'),
  run: async (login, ops) => {
    const scanned = await start(login, 'ssh-keyscan', [
      ...['-p', String(login.port), '-t', 'ed25519', login.host],
    ]);
    const blob = /ssh-ed25519 (\S+)/.exec(scanned.stdout.toString())?.[1] ?? '';
    const print = await start(login, 'ssh-keygen', ['-l', '-f', '-'], `ssh-ed25519 ${blob}\n`);
    const ppk = join(login.work, '.key.ppk');
    await start(login, 'puttygen', [login.keyFile, '-O', 'private', '-o', ppk]);
    const script = ops
      .map((op) => {
        const said = (text: string): string => `"${text.replaceAll('"', '""')}"`;
        const words: Readonly<Record<Op['do'], string>> = {
          put: 'put',
          get: 'get',
          'resume put': 'reput',
          'resume get': 'reget',
          rename: 'mv',
          'put folder': 'put -r',
          'get folder': 'get -r',
          list: 'ls',
        };
        return `${words[op.do]} ${said(op.from)} ${op.to === '' ? '' : said(op.to)}`;
      })
      .join('\n');
    const batch = join(login.work, '.batch');
    await writeFile(batch, `${script}\n`);
    return start(login, 'psftp', [
      ...['-batch', '-P', String(login.port), '-i', ppk],
      ...['-hostkey', print.stdout.toString().split(' ')[1] ?? '', '-b', batch],
      `${login.user}@${login.host}`,
    ]);
  },
};

/** Debian's modules are seen by Debian's interpreter alone. */
const python = '/usr/bin/python3';

function pythonClient(module: string, program: string): ClientProgram {
  return {
    name: module,
    cannot: {},
    missing: () => {
      if (process.env['CLUBHOUSE_REQUIRE_PROGRAMS'] !== undefined) return false;
      const found = spawnSync(python, ['-c', `import ${module}`]).status === 0;
      return found ? false : `needs python3-${module}`;
    },
    run: (login, ops) => start(login, python, ['-c', program], JSON.stringify({ login, ops })),
  };
}

const curl: ClientProgram = {
  name: 'curl',
  cannot: { 'put folder': 'curl moves single files', 'get folder': 'curl moves single files' },
  missing: () => missing('curl'),
  run: (login, ops) =>
    each(ops, (op) => {
      const url = (path: string): string =>
        `sftp://${login.user}@${login.host}:${login.port}${path.split('/').map(encodeURIComponent).join('/')}`;
      const words: Readonly<Record<Op['do'], readonly string[]>> = {
        put: ['-T', op.from, url(op.to)],
        get: ['-o', op.to, url(op.from)],
        'resume put': ['-C', '-', '-T', op.from, url(op.to)],
        'resume get': ['-C', '-', '-o', op.to, url(op.from)],
        rename: ['-Q', `rename ${quoted(op.from)} ${quoted(op.to)}`, '-l', url('/')],
        'put folder': [],
        'get folder': [],
        list: ['-l', url(`${op.from}/`)],
      };
      return start(login, 'curl', ['-sS', '-k', '--key', login.keyFile, ...words[op.do]]);
    }),
};

function missingFuse(): string | false {
  const absent = missing('sshfs', 'fusermount3');
  if (absent !== false) return absent;
  try {
    accessSync('/dev/fuse', constants.R_OK | constants.W_OK);
  } catch {
    return 'there is no FUSE here (/dev/fuse)';
  }
  return false;
}

const sshfs: ClientProgram = {
  name: 'sshfs',
  cannot: {},
  missing: missingFuse,
  run: async (login, ops) => {
    const mount = join(login.work, '.mount');
    await mkdir(mount, { recursive: true });
    const options = ssh(login)
      .join(' ')
      .replace(/-i (\S+)/, '-o IdentityFile=$1')
      .split(' ');
    const mounted = await start(login, 'sshfs', [
      ...[`${login.user}@${login.host}:/`, mount, '-p', String(login.port), ...options],
    ]);
    if (mounted.code !== 0) return mounted;
    const there = (path: string): string => mount + path;
    const tail = (from: string, to: string): readonly string[] => [
      ...['sh', '-c', 'tail -c +$(( $(stat -c %s "$2") + 1 )) "$1" >> "$2"', 'sh', from, to],
    ];
    try {
      return await each(ops, (op) => {
        const words: Readonly<Record<Op['do'], readonly string[]>> = {
          put: ['cp', op.from, there(op.to)],
          get: ['cp', there(op.from), op.to],
          'resume put': tail(op.from, there(op.to)),
          'resume get': tail(there(op.from), op.to),
          rename: ['mv', there(op.from), there(op.to)],
          'put folder': ['cp', '-r', op.from, there(op.to)],
          'get folder': ['cp', '-r', there(op.from), op.to],
          list: ['ls', '-1', there(op.from)],
        };
        const [program = '', ...args] = words[op.do];
        return start(login, program, args);
      });
    } finally {
      await start(login, 'fusermount3', ['-u', '-z', mount]);
      await rm(mount, { recursive: false, force: true }).catch(() => undefined);
    }
  },
};

export const paramiko = pythonClient('paramiko', paramikoProgram);

/** Those that `npm test` drives. */
export const corePrograms: readonly ClientProgram[] = [
  ...[sftp, scp, lftp, rclone, psftp, curl, paramiko],
  pythonClient('asyncssh', asyncsshProgram),
];
/** Needs a machine with FUSE. */
export const morePrograms: readonly ClientProgram[] = [sshfs];
