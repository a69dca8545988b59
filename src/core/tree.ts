// A client's path → its place in the tree of SPEC 3 and what may be done there, or a refusal. Pure: it sees names, not
// the disk, so it cannot see symbolic links; adapters/storage never follows one. What a client may not enter answers
// NO_SUCH_FILE here, before anything touches the disk, so no answer can be an oracle.

import { AppError } from './errors.ts';

/** Who looks at the tree; flow/ports' Principal fits. */
export interface Viewer {
  readonly kind: 'member' | 'partner';
  readonly name: string;
  readonly projects: readonly {
    readonly id: string;
    readonly name: string;
    readonly partners: readonly string[];
  }[];
}

/** `self`: below `<self>/`; `gpg`: the intake; `sealed`: `gpg-*` in the outgoing folder; the rest as SPEC 2 names them. */
export type Area = 'self' | 'gpg' | 'receipts' | 'outgoing' | 'sealed' | 'incoming';

/** `see`: stat and list; `read`: open for reading; `write`: create and change files; `make`: folders; `remove`: files and
 *  folders; `attributes`: times (modes are accepted and ignored). */
export type Right = 'see' | 'read' | 'write' | 'make' | 'remove' | 'attributes';

/** A folder that exists for the viewer alone and lists what it may enter. */
export interface VirtualPlace {
  readonly kind: 'virtual';
  /** The absolute path as the client sees it. */
  readonly shown: string;
  readonly entries: readonly string[];
}

/** A place below data/home. */
export interface RealPlace {
  readonly kind: 'real';
  readonly shown: string;
  /** Relative to data/home, without leading slash, `.` or `..`. */
  readonly path: string;
  readonly area: Area;
  readonly projectId: string;
  /** The partner's code, in the club house. */
  readonly partner: string | undefined;
  /** One of Clubhouse's own folders: it cannot be removed, renamed or made. */
  readonly fixed: boolean;
  readonly viewer: 'member' | 'partner';
}

export type Place = VirtualPlace | RealPlace;

const everything: readonly Right[] = ['see', 'read', 'write', 'make', 'remove', 'attributes'];
const readOnly: readonly Right[] = ['see', 'read'];

/** The table of SPEC 3. What is not in it is not there at all. */
const rights: Record<Viewer['kind'], Record<Area, readonly Right[]>> = {
  member: {
    self: everything,
    gpg: everything,
    receipts: ['see', 'read', 'remove'],
    outgoing: everything,
    sealed: readOnly,
    incoming: readOnly,
  },
  partner: {
    self: [],
    gpg: [],
    receipts: [],
    outgoing: [],
    sealed: [],
    incoming: everything,
  },
};

const maximumNameBytes = 255;
/** Of a path as the client says it. Operating systems take 4096 for theirs, which has the instance's folder before it. */
const maximumPathBytes = 3072;

/** Under such names the replicator writes; members do not see them (SPEC 3). */
export const isReplicatorTemporary = (name: string): boolean =>
  name.startsWith('.clubhouse-') && name.endsWith('.part');

/** Letters that look like those of `gpg`; full-width and mathematical ones fold by NFKD, and marks go. */
const lookAlikes: Readonly<Record<string, string>> = {
  ɡ: 'g',
  ɢ: 'g',
  ǥ: 'g',
  ɠ: 'g',
  ᶃ: 'g',
  ց: 'g',
  р: 'p',
  ρ: 'p',
  ϱ: 'p',
  ⲣ: 'p',
  ᴩ: 'p',
  ᴘ: 'p',
  ᵽ: 'p',
  ƥ: 'p',
};

/** `gpg-*`, also in capitals, in letters that look the same, or with invisible ones between: people would trust it. */
export function isReservedName(name: string): boolean {
  const shown = name
    .normalize('NFKD')
    .replaceAll(/[\p{Default_Ignorable_Code_Point}\p{Cc}\p{M}]/gu, '')
    .toLowerCase()
    .trimStart();
  const plain = Array.from(shown.slice(0, 16), (letter) => lookAlikes[letter] ?? letter).join('');
  return /^gpg[\p{Pd}\u2212\u2043\u30fc]/u.test(plain);
}

/** Where a login starts: in its own folder where it has one project, else in /home. */
export function loginFolder(viewer: Viewer): string {
  const only = viewer.projects[0];
  return viewer.kind === 'member' && viewer.projects.length === 1 && only !== undefined
    ? `/home/ji_${only.name}/${viewer.name}`
    : '/home';
}

/** Made once: making one takes longer than reading a path. */
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

/**
 * The parts of a client's path, `.` and `..` resolved by name, never above the root; a relative one starts at `from`.
 * Throws BAD_NAME for what is not UTF-8, holds a NUL or is too long.
 */
function normalise(bytes: Uint8Array, from: string): readonly string[] {
  if (bytes.length > maximumPathBytes) throw new AppError('BAD_NAME');
  let text: string;
  try {
    text = decoder.decode(bytes);
  } catch {
    throw new AppError('BAD_NAME');
  }
  if (text.includes('\0')) throw new AppError('BAD_NAME');
  const parts: string[] = text.startsWith('/') ? [] : from.split('/').filter((part) => part !== '');
  for (const part of text.split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '' && part !== '.') parts.push(part);
  }
  for (const part of parts) {
    if (part.length > maximumNameBytes / 3 && byteLength(part) > maximumNameBytes) {
      throw new AppError('BAD_NAME');
    }
  }
  return parts;
}

/** Could a client name this path, which is relative to data/home? */
export const isNameable = (path: string): boolean =>
  byteLength(`/home/${path}`) <= maximumPathBytes;

const byteLength = (text: string): number => encoder.encode(text).length;

/** The place of `name` in a folder that was resolved before, or undefined when the viewer may not see it. */
export function childOf(
  viewer: Viewer,
  site: string,
  folder: Place,
  name: string,
): Place | undefined {
  try {
    return resolve(viewer, site, encoder.encode(`${folder.shown}/${name}`));
  } catch {
    return undefined;
  }
}

/** The place of a client's path for this viewer at this site, or NO_SUCH_FILE. */
export function resolve(viewer: Viewer, site: string, bytes: Uint8Array): Place {
  return locate(viewer, site, normalise(bytes, loginFolder(viewer)));
}

function locate(viewer: Viewer, site: string, parts: readonly string[]): Place {
  const [home, projectFolder, owner, ...rest] = parts;
  const shown = `/${parts.join('/')}`;
  if (home === undefined) return { kind: 'virtual', shown, entries: ['home'] };
  if (home !== 'home') throw new AppError('NO_SUCH_FILE');
  const projects = viewer.projects.filter(
    (project) => viewer.kind === 'member' || project.partners.includes(viewer.name),
  );
  if (projectFolder === undefined) {
    return { kind: 'virtual', shown, entries: projects.map(({ name }) => `ji_${name}`) };
  }
  const project = projects.find(({ name }) => `ji_${name}` === projectFolder);
  if (project === undefined) throw new AppError('NO_SUCH_FILE');
  if (owner === undefined) {
    const entries = viewer.kind === 'member' ? [viewer.name, 'club_house'] : ['club_house'];
    return { kind: 'virtual', shown, entries };
  }
  const base = {
    shown,
    path: parts.slice(1).join('/'),
    projectId: project.id,
    viewer: viewer.kind,
  };
  if (owner === 'club_house') {
    // Others read these names, and other servers take them. In the own folder anything that a client sends is welcome.
    if (rest.some((part) => /\p{Cc}/u.test(part))) throw new AppError('BAD_NAME');
    return inClubHouse(viewer, site, project.partners, rest, base);
  }
  if (viewer.kind !== 'member' || owner !== viewer.name) throw new AppError('NO_SUCH_FILE');
  const area = rest[0] === 'gpg' || rest[0] === 'receipts' ? rest[0] : 'self';
  const fixed = rest.length === (area === 'self' ? 0 : 1);
  return real(base, area, undefined, fixed);
}

type Base = Pick<RealPlace, 'shown' | 'path' | 'projectId' | 'viewer'>;

/** Field by field: for every request, and V8 is slow with fields behind a spread. */
const real = (base: Base, area: Area, partner: string | undefined, fixed: boolean): RealPlace => ({
  kind: 'real',
  shown: base.shown,
  path: base.path,
  area,
  projectId: base.projectId,
  partner,
  fixed,
  viewer: base.viewer,
});

function inClubHouse(
  viewer: Viewer,
  site: string,
  partners: readonly string[],
  rest: readonly string[],
  base: Base,
): Place {
  const folders = partnerFolders(viewer, site, partners);
  const [name, ...below] = rest;
  if (name === undefined) {
    return { kind: 'virtual', shown: base.shown, entries: folders.map((folder) => folder.name) };
  }
  const folder = folders.find((one) => one.name === name);
  if (folder === undefined) throw new AppError('NO_SUCH_FILE');
  if (viewer.kind === 'member' && folder.area === 'incoming' && below.some(isReplicatorTemporary)) {
    throw new AppError('NO_SUCH_FILE');
  }
  const isSealed = folder.area === 'outgoing' && below[0] !== undefined && isReservedName(below[0]);
  return real(base, isSealed ? 'sealed' : folder.area, folder.partner, below.length === 0);
}

function partnerFolders(
  viewer: Viewer,
  site: string,
  partners: readonly string[],
): readonly { name: string; area: 'outgoing' | 'incoming'; partner: string }[] {
  const all = partners
    .filter((partner) => partner !== site)
    .flatMap((partner) => [
      { name: sharedName(site, partner), area: 'outgoing' as const, partner },
      { name: sharedName(partner, site), area: 'incoming' as const, partner },
    ]);
  return viewer.kind === 'member'
    ? all
    : all.filter(({ area, partner }) => area === 'incoming' && partner === viewer.name);
}

const sharedName = (from: string, to: string): string => `From_${from}_To_${to}`;

/** A shared folder of a project (without `ji_`), below data/home here and below `/home/` at the partner, which has the same. */
export const sharedFolder = (project: string, from: string, to: string): string =>
  `ji_${project}/club_house/${sharedName(from, to)}`;

/** The folders below data/home that must be there for this viewer. */
export function fixedFolders(viewer: Viewer, site: string): readonly string[] {
  return viewer.projects.flatMap((project) => {
    const root = `ji_${project.name}`;
    const club = partnerFolders(viewer, site, project.partners).map(
      ({ name }) => `${root}/club_house/${name}`,
    );
    const own = `${root}/${viewer.name}`;
    return viewer.kind === 'member' ? [own, `${own}/gpg`, `${own}/receipts`, ...club] : club;
  });
}

export const lastName = (place: Place): string =>
  place.shown.slice(place.shown.lastIndexOf('/') + 1);

/** May this viewer do that here? Throws READ_ONLY, IS_A_DIRECTORY or RESERVED_NAME. */
export function permit(place: Place, right: Right): void {
  const has = place.kind === 'virtual' ? readOnly : rights[place.viewer][place.area];
  if (place.kind === 'real' && place.viewer === 'member' && right === 'make') {
    if (isReservedName(lastName(place))) throw new AppError('RESERVED_NAME');
  }
  if (!has.includes(right)) throw new AppError('READ_ONLY');
  const changesItself = right === 'write' || right === 'make' || right === 'remove';
  if (place.kind === 'real' && place.fixed && changesItself) {
    // An upload to `gpg` itself is a name that somebody forgot.
    throw new AppError(right === 'write' ? 'IS_A_DIRECTORY' : 'READ_ONLY');
  }
}

/** The same as an answer, for showing modes. */
export function may(place: Place, right: Right): boolean {
  try {
    permit(place, right);
    return true;
  } catch {
    return false;
  }
}

/**
 * May `from` be renamed to `to`? Within the own `<self>/` (gpg/ and the rest), within one outgoing folder outside
 * `gpg-*`, and, for the partner, within its incoming folder. Throws READ_ONLY, RENAME_ACROSS or RESERVED_NAME.
 */
export function permitRename(from: Place, to: Place, isFolder: boolean): void {
  permit(from, 'remove');
  permit(from, 'write');
  if (from.kind !== 'real' || to.kind !== 'real') throw new AppError('READ_ONLY');
  const toName = lastName(to);
  if (to.viewer === 'member' && isReservedName(toName) && (isFolder || to.area === 'sealed')) {
    throw new AppError('RESERVED_NAME');
  }
  permit(to, 'write');
  const group = ({ area }: RealPlace): Area => (area === 'gpg' ? 'self' : area);
  const stays =
    from.projectId === to.projectId && group(from) === group(to) && from.partner === to.partner;
  if (!stays) throw new AppError('RENAME_ACROSS');
}
