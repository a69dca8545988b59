// The list of commands. Explicit, so that the compiler misses a missing one.

import { auditCommand } from './commands/audit.ts';
import { heldCommand } from './commands/held.ts';
import { initCommand } from './commands/init.ts';
import { jobCommand } from './commands/job.ts';
import { partnerCommand } from './commands/partner.ts';
import { projectCommand } from './commands/project.ts';
import { recipientCommand } from './commands/recipient.ts';
import { replicateCommand } from './commands/replicate.ts';
import { statusCommand } from './commands/status.ts';
import { userCommand } from './commands/user.ts';
import type { Command } from './context.ts';

export const commands: Command[] = [
  initCommand,
  projectCommand,
  userCommand,
  recipientCommand,
  partnerCommand,
  jobCommand,
  heldCommand,
  replicateCommand,
  auditCommand,
  statusCommand,
];
