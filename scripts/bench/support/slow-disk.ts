// Loaded before the server (node --import): each write to a file takes two seconds, as on a disk that is about to die.

import fs from 'node:fs';

const { writev } = fs;
const slow = (...args: Parameters<typeof writev>): void => {
  setTimeout(() => writev(...args), 2000);
};
fs.writev = slow as typeof writev;
