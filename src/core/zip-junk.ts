// What CDs and computers put into zips beside the images (SPEC 7): it carries nothing for research and is left out
// without being held. The name decides only about what is neither DICOM nor zip by its content, so a wrong name can
// never let anything through, nor lose an image.

const folders: ReadonlySet<string> = new Set([
  '__macosx',
  '.trashes',
  '.spotlight-v100',
  '$recycle.bin',
]);

const names: ReadonlySet<string> = new Set([
  '.ds_store',
  'thumbs.db',
  'ehthumbs.db',
  'desktop.ini',
  'autorun.inf',
  'autorun.ini',
  'icon\r',
  '.directory',
  '.volumeicon.icns',
]);

/** Programs of CD viewers, and what they need to run. */
const extensions: ReadonlySet<string> = new Set(
  'bat cab chm class cmd com cpl dll dylib exe hlp ico icns inf ini jar lnk manifest msi ocx pif scr so sys vbs'.split(
    ' ',
  ),
);

/** Is an entry of this name, which is neither DICOM nor zip, of no use for anybody? */
export function isJunkName(path: string): boolean {
  const parts = path.toLowerCase().split('/');
  const name = parts.at(-1) ?? '';
  if (parts.slice(0, -1).some((part) => folders.has(part) || part.endsWith('.app'))) return true;
  if (names.has(name) || name.startsWith('._')) return true;
  const dot = name.lastIndexOf('.');
  return dot > 0 && extensions.has(name.slice(dot + 1));
}

/** PS3.10 §8.6: a DICOMDIR is called so, in upper case and without an extension; media are not always that exact. */
export const isDicomdirName = (path: string): boolean =>
  /^dicomdir(\.dir|;1)?$/i.test(path.slice(path.lastIndexOf('/') + 1));
