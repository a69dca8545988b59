// The list of commands. Explicit, so that the compiler misses a missing one. The file of a command is loaded when its name
// was typed: an administrator waits for each process.

import type { Command, Noun } from './context.ts';

const noun = (command: string, describe: string, load: () => Promise<Noun>): Command => ({
  command,
  describe,
  builder: async (y) => (await load()).builder(y),
  handler: async (args) => (await load()).handler?.(args),
});

export const commands: readonly Command[] = [
  noun(
    'init',
    'Make a new instance: configuration, keys, folders',
    async () => (await import('./commands/init.ts')).initCommand,
  ),
  noun(
    'serve',
    'Run the server of this instance until SIGTERM or Ctrl-C',
    async () => (await import('./commands/serve.ts')).serveCommand,
  ),
  noun(
    'demo',
    'Two sites on this machine, one real exchange, explained',
    async () => (await import('./commands/demo.ts')).demoCommand,
  ),
  noun(
    'project',
    'Collaborations: their partners and their profile',
    async () => (await import('./commands/project.ts')).projectCommand,
  ),
  noun(
    'user',
    'Accounts of researchers',
    async () => (await import('./commands/user.ts')).userCommand,
  ),
  noun(
    'profile',
    'Rules of de-identification',
    async () => (await import('./commands/profile.ts')).profileCommand,
  ),
  noun(
    'recipient',
    'OpenPGP keys that files are encrypted to',
    async () => (await import('./commands/recipient.ts')).recipientCommand,
  ),
  noun(
    'partner',
    "Partner institutions, and their replicators' keys",
    async () => (await import('./commands/partner.ts')).partnerCommand,
  ),
  noun(
    'job',
    'What becomes of each upload',
    async () => (await import('./commands/job.ts')).jobCommand,
  ),
  noun(
    'held',
    'Files that were not passed on, and why',
    async () => (await import('./commands/held.ts')).heldCommand,
  ),
  noun(
    'replicate',
    'What goes to the partners',
    async () => (await import('./commands/replicate.ts')).replicateCommand,
  ),
  noun(
    'crosswalk',
    'Who is behind which subject code',
    async () => (await import('./commands/crosswalk.ts')).crosswalkCommand,
  ),
  noun(
    'trace <file>',
    'Everything that ever happened to one file',
    async () => (await import('./commands/trace.ts')).traceCommand,
  ),
  noun(
    'audit',
    'What was done, by whom and when',
    async () => (await import('./commands/audit.ts')).auditCommand,
  ),
  noun(
    'status',
    'One look at everything: what is in work, what needs attention',
    async () => (await import('./commands/status.ts')).statusCommand,
  ),
  noun(
    'doctor',
    'Check folders, keys, disk, database, profiles',
    async () => (await import('./commands/doctor.ts')).doctorCommand,
  ),
  noun(
    'backup <dir>',
    'An encrypted copy of the whole instance, beside the running server',
    async () => (await import('./commands/backup.ts')).backupCommand,
  ),
  noun(
    'restore <dir>',
    'Put an instance back from a backup, into an empty folder',
    async () => (await import('./commands/restore.ts')).restoreCommand,
  ),
];
