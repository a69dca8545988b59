// The table of the SFTP bench: speed and server CPU beside sshd, taken within each round, as medians with their spread.

import { say } from './measure.ts';
import { spreadOf } from './report.ts';

export interface Once {
  readonly wallSeconds: number;
  /** Of the server alone. */
  readonly cpuSeconds: number;
}

export interface Measured {
  readonly row: string;
  readonly title: string;
  readonly medium: string;
  readonly place: string;
  readonly target: { readonly wall: number; readonly cpu?: number };
  readonly rounds: readonly { readonly ours: Once; readonly peer: Once }[];
}

export const tableHead = [
  '| | into | speed, sshd = 1.00 | target | server CPU, sshd = 1.00 | target | seconds, ours and sshd | CPU s |',
  '| --- | --- | --- | --- | --- | --- | --- | --- |',
].join('\n');

const shown = (values: readonly number[]): string => {
  const { median, least, most } = spreadOf(values);
  return `${median.toFixed(2)} (${least.toFixed(2)}–${most.toFixed(2)})`;
};
const median = (values: readonly number[]): string => spreadOf(values).median.toFixed(2);

export function printRow({ title, place, target, rounds }: Measured): void {
  const speed = rounds.map(({ ours, peer }) => peer.wallSeconds / ours.wallSeconds);
  const cpu = rounds.map(({ ours, peer }) => ours.cpuSeconds / peer.cpuSeconds);
  const pair = (key: keyof Once): string =>
    `${median(rounds.map(({ ours }) => ours[key]))} / ${median(rounds.map(({ peer }) => peer[key]))}`;
  const cells = [
    title,
    place === 'gpg' ? '`gpg/`' : 'own folder',
    shown(speed),
    `≥ ${target.wall}`,
    shown(cpu),
    target.cpu === undefined ? '–' : `≤ ${target.cpu}`,
    pair('wallSeconds'),
    pair('cpuSeconds'),
  ];
  say(`| ${cells.join(' | ')} |`);
}
