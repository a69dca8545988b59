// Loaded before the server (node --import): each write to a file takes two seconds, as on a disk that is about to die.

import fs from 'node:fs';

const { writev, writevSync } = fs;
const slow = (...args: Parameters<typeof writev>): void => {
  setTimeout(() => writev(...args), 2000);
};
fs.writev = slow as typeof writev;
const sleeper = new Int32Array(new SharedArrayBuffer(4));
fs.writevSync = (...args) => {
  Atomics.wait(sleeper, 0, 0, 2000);
  return writevSync(...args);
};
