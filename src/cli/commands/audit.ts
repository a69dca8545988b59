// `clubhouse audit`: the trail of everything that mattered.

import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { actorNames, onApp, type Noun } from '../context.ts';
import { iso, print, printJson, printTable, shortTime, UsageError } from '../output.ts';
import { AppError } from '../../core/errors.ts';

export const auditCommand: Noun = {
  builder: (y) =>
    y
      .command(
        'list',
        'The newest entries',
        (a) =>
          a
            .option('object', {
              type: 'string',
              requiresArg: true,
              describe: 'Id of what it is about',
            })
            .option('limit', {
              type: 'number',
              requiresArg: true,
              describe: 'Else 50; --json: all',
            })
            .option('json', { type: 'boolean', default: false, describe: 'For programs' })
            .check(({ limit }) => {
              if (limit === undefined || (Number.isInteger(limit) && limit >= 1)) return true;
              throw new Error('--limit is a number of entries, 1 or more');
            })
            .example('$0 audit list --limit 20', ''),
        onApp(async (app, args) => {
          const limit = args.limit ?? (args.json ? undefined : 50);
          const rows = await app.audit.list({
            ...(args.object === undefined ? {} : { object: args.object }),
            ...(limit === undefined ? {} : { limit }),
          });
          if (args.json) return printJson(rows.map((row) => ({ ...row, at: iso(row.at) })));
          const name = await actorNames(app);
          return printTable(
            ['SEQ', 'AT', 'ACTOR', 'ACTION', 'OBJECT', 'DETAIL'],
            rows.map((row) => [
              String(row.seq),
              shortTime(row.at),
              name(row.actor),
              row.action,
              row.object,
              JSON.stringify(row.detail),
            ]),
            'No entries.',
          );
        }),
      )
      .command(
        'verify',
        'Check that no entry was changed, moved or removed, at the end neither',
        (a) =>
          a
            .option('head', {
              type: 'string',
              requiresArg: true,
              describe: 'NUMBER:HASH as an earlier verify printed it and somebody kept elsewhere',
            })
            .example('$0 audit verify', ''),
        onApp(async (app, args) => {
          const fault = await app.audit.firstFault(readHead(args.head));
          if (fault !== undefined) {
            throw new AppError('CONFLICT', {
              detail: `the audit trail does not hold at entry ${fault.seq}: ${fault.text}`,
            });
          }
          const { seq, hash } = await app.audit.head();
          print(
            `The audit trail is whole: ${seq} ${seq === 1 ? 'entry' : 'entries'}, head ${seq}:${hash}`,
          );
        }),
      )
      .command(
        'export',
        'Every entry as one line of JSON',
        (a) =>
          a
            .option('signature', {
              type: 'string',
              requiresArg: true,
              describe: 'File for a signature by our host key, for ssh-keygen -Y verify',
            })
            .example('$0 audit export --signature audit.jsonl.sig > audit.jsonl', ''),
        onApp(async (app, args) => {
          const sha512 = createHash('sha512');
          for await (const row of app.audit.entries()) {
            const line = JSON.stringify({ ...row, at: iso(row.at) });
            sha512.update(`${line}\n`);
            await printLine(line);
          }
          if (args.signature === undefined) return;
          const signature = await app.audit.sign(sha512.digest());
          const file = args.signature;
          await writeFile(file, signature, { mode: 0o600 }).catch((cause: unknown) => {
            throw new AppError('STORAGE_FAILED', { cause, detail: `cannot write ${file}` });
          });
        }),
      )
      .demandCommand(1, 'audit list, verify or export?'),
};

/** `12:0a1b…` */
function readHead(text: string | undefined): { seq: number; hash: string } | undefined {
  if (text === undefined) return undefined;
  const [, seq, hash] = /^(\d{1,15}):([0-9a-f]{64})$/.exec(text) ?? [];
  if (seq === undefined || hash === undefined) {
    throw new UsageError('--head is a number, a colon and 64 hexadecimal digits');
  }
  return { seq: Number(seq), hash };
}

/** Waits for who reads: an export can be large. */
async function printLine(line: string): Promise<void> {
  if (!process.stdout.write(`${line}\n`)) await once(process.stdout, 'drain');
}
