// Tells the main thread that this worker thread gets something done. A thread that hangs in a library or a loop answers
// nothing any more, not even an abort, so the count lies in shared memory, where it can be seen from outside.

let steps = new Int32Array(new SharedArrayBuffer(4));

/** From now on steps are counted there; a worker thread has one task at a time. */
export function countStepsIn(shared: Int32Array<SharedArrayBuffer>): void {
  steps = shared;
}

/** A piece was read or written, or an entry of a zip was done. */
export function noteStep(): void {
  Atomics.add(steps, 0, 1);
}
