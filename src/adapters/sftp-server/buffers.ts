// Memory for the data of WRITE and READ, used again and again: new buffers of this size for each packet cost a third of an
// upload's CPU time in the kernel (fresh pages) and the garbage collector. Measured by npm run bench -- sftp.

/** Room for the largest packet. */
const wholeBytes = 256 * 1024;
/** Smaller ones come from Node's own slabs. */
const leastBytes = 16 * 1024;
/** So many are kept: 8 MB. */
const mostKept = 32;

const kept: Buffer[] = [];
const ours = new WeakSet<ArrayBufferLike>();

/** Holds anything. What is never given back goes to the garbage collector. */
export function takeBuffer(bytes: number): Buffer {
  if (bytes < leastBytes || bytes > wholeBytes) return Buffer.allocUnsafe(bytes);
  const whole = kept.pop() ?? Buffer.allocUnsafeSlow(wholeBytes);
  ours.add(whole.buffer);
  return whole.subarray(0, bytes);
}

/** Nobody reads or writes it any more. Buffers of others, and a second time, are ignored. */
export function giveBack(buffer: Uint8Array): void {
  if (!ours.delete(buffer.buffer) || kept.length >= mostKept) return;
  kept.push(Buffer.from(buffer.buffer, 0, wholeBytes));
}
