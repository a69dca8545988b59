// The three stages of a file's bytes as types, so that the compiler refuses to publish what was not
// de-identified and encrypted. Only core/deid and the zip writer's caller make Clean; only an Encryptor makes Sealed.

declare const stage: unique symbol;

/** Bytes as a sender uploaded them: they identify a patient. */
export type Raw = Uint8Array & { readonly [stage]?: 'raw' };
/** Bytes that went through de-identification. */
export type Clean = Uint8Array & { readonly [stage]: 'clean' };
/** Bytes of a finished OpenPGP message. */
export type Sealed = Uint8Array & { readonly [stage]: 'sealed' };

/** The one place where bytes become Clean. Call it only on what the de-identification wrote. */
export const asClean = (bytes: Uint8Array): Clean => bytes as Clean;
/** The one place where bytes become Sealed. Call it only in an Encryptor. */
export const asSealed = (bytes: Uint8Array): Sealed => bytes as Sealed;
