// The stages of a file's bytes as types, so that the compiler refuses to publish what was not de-identified and
// encrypted. What a sender uploaded is plain Uint8Array. Only flow/process-* makes Clean, of what core/deid wrote and core/dicom
// wrote down, of pixels, and of files that the project or an administrator lets through; only an Encryptor makes Sealed.

declare const stage: unique symbol;

/** Bytes that went through de-identification. */
export type Clean = Uint8Array & { readonly [stage]: 'clean' };
/** Bytes of a finished OpenPGP message. */
export type Sealed = Uint8Array & { readonly [stage]: 'sealed' };

/** The one place where bytes become Clean; who calls it says why they are. */
export const asClean = (bytes: Uint8Array): Clean => bytes as Clean;
/** The one place where bytes become Sealed. Call it only in an Encryptor. */
export const asSealed = (bytes: Uint8Array): Sealed => bytes as Sealed;
