// How much a client may send ahead, and how far away it is taken to be (window.ts, handles.ts).

import t from 'tap';
import { createHandles, type Handle } from '../../src/adapters/sftp-server/handles.ts';
import { createPurse, createWindow, windowLimits } from '../../src/adapters/sftp-server/window.ts';

const pretend = (): { granted: number; grant(bytes: number): void; windowBytes: number } => ({
  windowBytes: 2 << 20,
  granted: 0,
  grant(bytes) {
    this.granted += bytes;
  },
});

void t.test('the window grows for who is far away, and not while the disk is slow', async (t) => {
  const far = (
    holds: number,
    purse = createPurse(1 << 30),
    roundTripMs = 40,
    waits = 40,
  ): number => {
    let now = 0;
    const inflow = { ...pretend(), finish: () => undefined };
    const window = createWindow(inflow, { purse, now: () => now, roundTripMs: () => roundTripMs });
    const pieceBytes = 32_768;
    let left = inflow.windowBytes;
    let held = 0;
    let taken = true;
    for (let round = 0; round < 20; round += 1) {
      const before = inflow.granted;
      for (; left > 0; left -= pieceBytes) {
        taken &&= window.received(pieceBytes);
        if (held < holds) held += pieceBytes;
        else window.done(pieceBytes);
      }
      left = inflow.granted - before;
      // A busy machine makes a near client wait; a far one is never quicker than its line.
      now += round === 0 ? waits : 40;
    }
    t.ok(taken);
    return window.sizeBytes;
  };
  t.equal(far(0), windowLimits.mostBytes);
  t.equal(far(1 << 20), 2 << 20, 'half of it lies here undone');
  t.equal(far(0, createPurse(0)), 2 << 20, 'others have it all');
  t.equal(far(0, createPurse(1 << 30), 1), 2 << 20, 'near by what it answered');
  t.equal(far(0, createPurse(1 << 30), 40, 1), 2 << 20, 'near by how soon it went on once');
  const purse = createPurse(20 << 20);
  t.equal(far(0, purse), 16 << 20);
  t.equal(far(0, purse), 8 << 20);
});

void t.test('what is promised and what is held are never more than the window', async (t) => {
  const inflow = { ...pretend(), finish: () => undefined };
  const window = createWindow(inflow, { now: () => 0 });
  t.ok(window.received(2 << 20));
  t.equal(inflow.granted, 0);
  t.notOk(window.received(1), 'beyond it');
  window.end();
});

void t.test('the way to the client is as long as its shortest answer to a handle', async (t) => {
  let now = 0;
  const handles = createHandles(4, undefined, () => now);
  const folder = { kind: 'folder' } as Handle;
  t.equal(handles.roundTripMs, Infinity);
  const slow = handles.add(folder);
  now += 50;
  handles.get(slow);
  t.equal(handles.roundTripMs, 50);
  now += 1;
  handles.get(slow);
  t.equal(handles.roundTripMs, 50, 'what it names again says nothing');
  const quick = handles.add(folder);
  now += 3;
  handles.remove(quick);
  t.equal(handles.roundTripMs, 3);
  const never = handles.add(folder);
  handles.removeWhere(() => true);
  t.throws(() => handles.get(never));
  t.equal(handles.roundTripMs, 3);
});
