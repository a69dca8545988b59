// What may carry text in its pixels is held (SPEC 7), because nobody looks at pixels here: what the standard says
// (BurnedInAnnotation), and what the SOP class or the modality is known for. The list names kinds of images, not doubts
// about single ones: BurnedInAnnotation NO does not clear them, since devices write NO into screen shots with names on
// them. A project that knows better says so: `burnedIn: allow`, or a rule on PixelData with `keep` or `hold` and a
// condition. Released and allowed are overruled only by such a rule, never the other way round.

import type { DataSet, FileHead, Tag } from '../dicom/dataset.ts';
import { isKnownCharset } from '../dicom/text.ts';
import { isVideo } from '../dicom/transfer-syntax.ts';
import type { HoldReason } from '../reasons.ts';
import type { FilePolicy } from './policy.ts';
import { charsetsOf, findElement, firstValue, hasValue, valuesOf, trimPadding } from './reading.ts';

export interface ImageHold {
  readonly reason: HoldReason;
  /** What gave the reason. */
  readonly tag: Tag;
}

const sopClassTag: Tag = 0x00080016;
const modalityTag: Tag = 0x00080060;
const imageTypeTag: Tag = 0x00080008;
const pixelDataTag: Tag = 0x7fe00010;
const storage = '1.2.840.10008.5.1.4.1.1.';

/** SOP classes (PS3.4 Annex B.5), by their number behind 1.2.840.10008.5.1.4.1.1 and all below it. */
const doubtful = [
  '3', // ultrasound multi-frame
  '6', // ultrasound, also enhanced volumes and photoacoustic images, which are drawn over ultrasound
  '7', // secondary capture
  '12.77', // visible light, retired
  '77.1', // visible light: endoscopic, microscopic, photographic, ophthalmic, video
  '77.2', // visible light multi-frame, retired
];

/** Encapsulated PDF, CDA, STL, OBJ, MTL. */
const documents = '104';

/** Modalities (PS3.3 §C.7.3.1.1.1) of ultrasound, secondary capture and visible light. */
const modalities: ReadonlySet<string> = new Set(
  // prettier-ignore
  ['BDUS', 'CF', 'DG', 'DMS', 'EC', 'ECHO', 'ES', 'GM', 'HC', 'IVUS', 'OP', 'SC', 'SM', 'US', 'XC'],
);

/** Values of Image Type by which scanners mark dose reports, protocols and screen shots among their images. */
const screen =
  /^(SCREEN[ _]?(SAVE|SHOT|CAPTURE|SECONDARY)?|DOSE([ _]?(INFO|REPORT|SCREEN|SUMMARY))?|CT_SOM\d+ PROT|PROT|CAPTURE)$/;
const screenSeries =
  /\bdose (report|info|summary|screen|sheet|record)|\bpatient protocol\b|screen ?(save|shot|capture)/i;

const isBelow = (uid: string, root: string): boolean => uid === root || uid.startsWith(`${root}.`);

/**
 * Why the file must not be processed at all: DICOMDIR, documents, texts that nobody can read, and pixels that may carry text. `released`: an
 * administrator has looked at this content (`held release`), which overrides `burned-in` alone.
 */
export function judgeImage(
  header: DataSet,
  head: FileHead,
  policy: FilePolicy,
  released: boolean,
): ImageHold | undefined {
  const sopClass =
    trimPadding(firstValue(header, sopClassTag)) || trimPadding(firstValue(head.meta, 0x00020002));
  if (sopClass === '1.2.840.10008.1.3.10' || findElement(header, 0x00041220) !== undefined) {
    return { reason: 'dicomdir', tag: sopClassTag };
  }
  if (isBelow(sopClass, `${storage}${documents}`)) {
    return { reason: 'encapsulated-document', tag: sopClassTag };
  }
  const document = findElement(header, 0x00420011);
  if (document !== undefined && hasValue(document)) {
    return { reason: 'encapsulated-document', tag: document.tag };
  }
  if (!isKnownCharset(charsetsOf(header))) return { reason: 'unsupported', tag: 0x00080005 };
  const { action } = policy.decide(pixels);
  if (action.kind === 'hold') return { reason: 'rule', tag: pixelDataTag };
  if (mayHoldText(policy, released)) return undefined;
  // user data and titles in a stream: nobody reads them here but for the names of the patient (leak-stream.ts)
  if (isVideo(head.transferSyntaxUID)) return { reason: 'burned-in', tag: pixelDataTag };
  const tag = mayCarryText(header, sopClass);
  return tag === undefined ? undefined : { reason: 'burned-in', tag };
}

const pixels = { tag: pixelDataTag, vr: 'OW', creator: undefined, path: [] } as const;

/** Do the project, or an administrator who looked at this content, let pixels go on that may carry text? */
export const mayHoldText = (policy: FilePolicy, released: boolean): boolean =>
  released || policy.profile.burnedIn === 'allow' || policy.decide(pixels).by === 'rule';

/** An overlay without a bitmap of its own lies in unused bits of the pixels (PS3.3 §C.9.2, retired): they stay, with its text. */
const overlayInPixels = ({ elements }: DataSet): Tag | undefined =>
  elements.find(
    ({ tag }, _, all) =>
      (tag & 0xff01ffff) >>> 0 === 0x60000102 &&
      !all.some((other) => other.tag === ((tag & 0xffff0000) | 0x3000) >>> 0),
  )?.tag;

/** The attribute that says so. */
function mayCarryText(header: DataSet, sopClass: string): Tag | undefined {
  // also Recognizable Visual Features is no reason: faces are another matter (PS3.15 §E.3.2)
  if (firstValue(header, 0x00280301).toUpperCase() === 'YES') return 0x00280301;
  if (doubtful.some((root) => isBelow(sopClass, `${storage}${root}`))) return sopClassTag;
  if (modalities.has(firstValue(header, modalityTag).toUpperCase())) return modalityTag;
  // Conversion Type makes a secondary capture of what names no SOP class (PS3.3 §C.8.6.1)
  if (sopClass === '' && firstValue(header, 0x00080064) !== '') return 0x00080064;
  if (valuesOf(header, imageTypeTag).some((value) => screen.test(value.toUpperCase()))) {
    return imageTypeTag;
  }
  const overlay = overlayInPixels(header);
  if (overlay !== undefined) return overlay;
  const series = firstValue(header, 0x0008103e, charsetsOf(header));
  return screenSeries.test(series) ? 0x0008103e : undefined;
}
