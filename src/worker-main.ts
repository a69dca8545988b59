// The composition root of a worker thread: the flow's processing with the adapters that it needs there. Piscina calls `run`.

import { encryptor } from './adapters/openpgp/encryptor.ts';
import type { WorkerReply, WorkerRequest } from './adapters/worker-pool/messages.ts';
import { serveRequest } from './adapters/worker-pool/worker-side.ts';
import { zips } from './adapters/zip/zips.ts';
import { countStepsIn } from './flow/process-progress.ts';
import { processUpload } from './flow/process.ts';

export async function run(request: WorkerRequest): Promise<WorkerReply> {
  countStepsIn(request.steps);
  return serveRequest(request, async (task, crosswalk, signal) =>
    processUpload(task, { encryptor, crosswalk, zips }, signal),
  );
}
