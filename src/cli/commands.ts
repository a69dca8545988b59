// The list of commands. Explicit, so that the compiler misses a missing one.

import { auditCommand } from './commands/audit.ts';
import { crosswalkCommand } from './commands/crosswalk.ts';
import { demoCommand } from './commands/demo.ts';
import { doctorCommand } from './commands/doctor.ts';
import { heldCommand } from './commands/held.ts';
import { initCommand } from './commands/init.ts';
import { jobCommand } from './commands/job.ts';
import { partnerCommand } from './commands/partner.ts';
import { profileCommand } from './commands/profile.ts';
import { projectCommand } from './commands/project.ts';
import { recipientCommand } from './commands/recipient.ts';
import { replicateCommand } from './commands/replicate.ts';
import { serveCommand } from './commands/serve.ts';
import { statusCommand } from './commands/status.ts';
import { traceCommand } from './commands/trace.ts';
import { userCommand } from './commands/user.ts';
import type { Command } from './context.ts';

export const commands: Command[] = [
  initCommand,
  serveCommand,
  demoCommand,
  projectCommand,
  userCommand,
  profileCommand,
  recipientCommand,
  partnerCommand,
  jobCommand,
  heldCommand,
  replicateCommand,
  crosswalkCommand,
  traceCommand,
  auditCommand,
  statusCommand,
  doctorCommand,
];
