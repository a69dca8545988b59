// The one error type, and the closed list of its codes. The list decides once, for everybody: whether a
// worker tries again, which SFTP status (draft-ietf-secsh-filexfer-02 §7) a client gets, and the sentence that
// says what to do. Messages never hold a patient's value, a client's path or a key (SPEC 10).

export type SftpStatus =
  | 'OK'
  | 'EOF'
  | 'NO_SUCH_FILE'
  | 'PERMISSION_DENIED'
  | 'FAILURE'
  | 'BAD_MESSAGE'
  | 'NO_CONNECTION'
  | 'CONNECTION_LOST'
  | 'OP_UNSUPPORTED';

interface CodeFacts {
  /** May the same work succeed later without anybody doing anything? */
  readonly retry: boolean;
  readonly status: SftpStatus;
  /** For people: what is wrong and what to do. */
  readonly text: string;
}

export const errorCodes = {
  // --- what a client asks of the tree -------------------------------------------------------------------
  NO_SUCH_FILE: {
    retry: false,
    status: 'NO_SUCH_FILE',
    text: 'No such file or folder',
  },
  NOT_A_DIRECTORY: { retry: false, status: 'NO_SUCH_FILE', text: 'Not a folder' },
  IS_A_DIRECTORY: {
    retry: false,
    status: 'FAILURE',
    text: 'This is a folder; a file needs a name of its own in it',
  },
  ALREADY_EXISTS: { retry: false, status: 'FAILURE', text: 'This name exists already' },
  NOT_EMPTY: { retry: false, status: 'FAILURE', text: 'The folder is not empty' },
  READ_ONLY: {
    retry: false,
    status: 'PERMISSION_DENIED',
    text: 'Only Clubhouse or the partner changes what is here; put your own files into your gpg folder',
  },
  RESERVED_NAME: {
    retry: false,
    status: 'PERMISSION_DENIED',
    text: 'Names that start with gpg- are reserved for Clubhouse; choose another name',
  },
  RENAME_ACROSS: {
    retry: false,
    status: 'PERMISSION_DENIED',
    text: 'Files can be renamed within their own area only; upload the file again instead',
  },
  BAD_NAME: {
    retry: false,
    status: 'FAILURE',
    text: 'This name cannot be used: names are valid UTF-8, without control characters, up to 255 bytes',
  },
  BAD_MESSAGE: { retry: false, status: 'BAD_MESSAGE', text: 'Malformed request' },
  BAD_HANDLE: { retry: false, status: 'FAILURE', text: 'The file handle is not open' },
  TOO_MANY_HANDLES: {
    retry: false,
    status: 'FAILURE',
    text: 'Too many open files in this session; close some first',
  },
  UNSUPPORTED: { retry: false, status: 'OP_UNSUPPORTED', text: 'This request is not offered' },
  NO_LINKS: { retry: false, status: 'OP_UNSUPPORTED', text: 'Links are not offered here' },
  QUOTA_REACHED: {
    retry: false,
    status: 'FAILURE',
    text: 'No more room here: remove files that are not needed any more, or ask the administrator for more',
  },
  LOW_SPACE: {
    retry: true,
    status: 'FAILURE',
    text: 'The server keeps its last free space for results; what was sent so far is kept. Tell the administrator, then resume',
  },
  ACCOUNT_EXPIRED: {
    retry: false,
    status: 'PERMISSION_DENIED',
    text: 'This account has ended; ask the administrator to extend it',
  },
  LOGIN_ENDED: {
    retry: false,
    status: 'PERMISSION_DENIED',
    text: 'This login does not hold any more; log in again, or ask the administrator',
  },
  DISK_FULL: {
    retry: true,
    status: 'FAILURE',
    text: 'The disk of the server is full; what was sent so far is kept. Tell the administrator, then resume',
  },
  STORAGE_FAILED: {
    retry: true,
    status: 'FAILURE',
    text: 'The server could not read or write its disk; try again, and tell the administrator if it stays',
  },
  // --- set-up and commands -------------------------------------------------------------------------------
  CONFIG_INVALID: {
    retry: false,
    status: 'FAILURE',
    text: 'The configuration is not valid; mend the line that is named',
  },
  PROFILE_INVALID: {
    retry: false,
    status: 'FAILURE',
    text: 'The de-identification profile is not valid; mend the line that is named',
  },
  NOT_FOUND: { retry: false, status: 'FAILURE', text: 'There is no such thing here' },
  CONFLICT: { retry: false, status: 'FAILURE', text: 'This clashes with what is there' },
  BAD_INPUT: { retry: false, status: 'FAILURE', text: 'The input is not valid' },
  BUSY: {
    retry: true,
    status: 'FAILURE',
    text: 'Somebody else holds this at the moment; try again',
  },
  RECIPIENT_KEY: {
    retry: false,
    status: 'FAILURE',
    text: 'This OpenPGP key cannot be used to encrypt to; ask the receiver for a new public key',
  },
  // --- processing ----------------------------------------------------------------------------------------
  DICOM_NOT_DICOM: { retry: false, status: 'FAILURE', text: 'This is not a DICOM file' },
  DICOM_TRUNCATED: {
    retry: false,
    status: 'FAILURE',
    text: 'The DICOM file ends too early; resume the upload or send it again',
  },
  DICOM_MALFORMED: {
    retry: false,
    status: 'FAILURE',
    text: 'The DICOM file breaks the rules of PS3.5 and was not guessed at; export it again',
  },
  DICOM_TOO_LARGE: {
    retry: false,
    status: 'FAILURE',
    text: 'The header of this DICOM file is larger than the limit',
  },
  DICOM_UNSUPPORTED: {
    retry: false,
    status: 'FAILURE',
    text: 'The transfer syntax or character set of this DICOM file is not known',
  },
  ZIP_TRUNCATED: {
    retry: false,
    status: 'FAILURE',
    text: 'The zip file ends too early; resume the upload or send it again',
  },
  ZIP_BROKEN: { retry: false, status: 'FAILURE', text: 'The zip file is damaged; make it again' },
  ENCRYPT_FAILED: { retry: true, status: 'FAILURE', text: 'Encryption failed' },
  NO_VALID_KEY: {
    retry: true,
    status: 'FAILURE',
    text: 'No recipient key is valid; add a new one with recipient add',
  },
  SOURCE_CHANGED: {
    retry: true,
    status: 'FAILURE',
    text: 'The file changed while it was processed; the newer one is taken',
  },
  WORKER_DIED: { retry: true, status: 'FAILURE', text: 'The worker that had this file ended' },
  LEASE_LOST: { retry: true, status: 'FAILURE', text: 'Another worker took this job over' },
  OUTBOX_CONFLICT: {
    retry: false,
    status: 'FAILURE',
    text: 'Another file with this name was published already',
  },
  // --- the partner ---------------------------------------------------------------------------------------
  REMOTE_UNREACHABLE: {
    retry: true,
    status: 'FAILURE',
    text: "The partner's server does not answer; see that it runs, and that its address, port and firewall let us in",
  },
  REMOTE_HOST_KEY: {
    retry: false,
    status: 'FAILURE',
    text: "The partner's host key is not the pinned one; compare it with the partner's administrator, then partner add again",
  },
  REMOTE_AUTH: {
    retry: true,
    status: 'FAILURE',
    text: "The partner's server refused our key; its administrator runs partner accept with keys/replicator_ed25519.pub",
  },
  REMOTE_REFUSED: { retry: true, status: 'FAILURE', text: "The partner's server refused the file" },
  REMOTE_FULL: { retry: true, status: 'FAILURE', text: "The partner's disk is full" },
  REMOTE_MISMATCH: {
    retry: true,
    status: 'FAILURE',
    text: 'What arrived at the partner is not what was sent; it is sent again',
  },
  REMOTE_RECEIPT: {
    retry: true,
    status: 'FAILURE',
    text: 'The partner gave no receipt for the file, or not one that its pinned host key signed; it is asked again',
  },
  REMOTE_WINDOW: {
    retry: true,
    status: 'FAILURE',
    text: "The partner's time window is closed; sending goes on when it opens",
  },
  REMOTE_CONFLICT: {
    retry: false,
    status: 'FAILURE',
    text: 'The partner holds another file under this name; it was not overwritten',
  },
  OUTBOX_CHANGED: {
    retry: false,
    status: 'FAILURE',
    text: 'The file on disk is not the one that was published, so it was not sent; look at who changed it',
  },
  OUTBOX_GONE: {
    retry: false,
    status: 'FAILURE',
    text: 'The file was removed from the outgoing folder before it was sent; upload it again if it is still wanted',
  },
  OUTBOX_STRANGER: {
    retry: false,
    status: 'FAILURE',
    text: 'A file that Clubhouse did not make lies in a gpg- folder and is not sent; look at who put it there',
  },
  BAD_BACKUP: {
    retry: false,
    status: 'FAILURE',
    text: 'This backup cannot be restored; take another copy of it, or an earlier one',
  },
  INTERNAL: {
    retry: true,
    status: 'FAILURE',
    text: 'An internal error; see the log of the server',
  },
} as const satisfies Record<string, CodeFacts>;

export type ErrorCode = keyof typeof errorCodes;

export interface ErrorFacts {
  readonly cause?: unknown;
  /** Byte offset in the input, where there is one. */
  readonly at?: number;
  /** DICOM tag as (gggg,eeee), where there is one. */
  readonly tag?: string;
  /** What may be said beyond the code's own text: ids, tags, counts, line numbers. Never a value. */
  readonly detail?: string;
}

/** The only error that the product throws on purpose. `message` is safe to log and to show. */
export class AppError extends Error {
  readonly code: ErrorCode;
  readonly at: number | undefined;
  readonly tag: string | undefined;
  readonly detail: string | undefined;

  constructor(code: ErrorCode, facts: ErrorFacts = {}) {
    const where = [
      facts.detail,
      facts.tag === undefined ? undefined : `tag ${facts.tag}`,
      facts.at === undefined ? undefined : `byte ${facts.at}`,
    ].filter((part) => part !== undefined);
    const text = errorCodes[code].text;
    super(where.length > 0 ? `${text} (${where.join(', ')})` : text, { cause: facts.cause });
    this.name = 'AppError';
    this.code = code;
    this.at = facts.at;
    this.tag = facts.tag;
    this.detail = facts.detail;
  }

  get retry(): boolean {
    return errorCodes[this.code].retry;
  }

  get status(): SftpStatus {
    return errorCodes[this.code].status;
  }
}

/** The code of anything that was thrown: what is not ours is INTERNAL. */
export const codeOf = (error: unknown): ErrorCode =>
  error instanceof AppError ? error.code : 'INTERNAL';

/**
 * Where in the code it was thrown, innermost first. Nothing of the message, which may have several lines: that of a library
 * may quote a patient's value or a client's path.
 */
export const framesOf = (error: unknown, most = 6): readonly string[] =>
  (error instanceof Error ? (error.stack ?? '') : '')
    .split('\n')
    .filter((line) => /^\s+at \S.*:\d+:\d+\)?$/.test(line))
    .slice(0, most)
    .map((line) => line.trim());

/** Ends a switch over a closed union: the compiler proves that it cannot be reached. */
export function unreachable(value: never): never {
  throw new AppError('INTERNAL', { detail: `unknown case of type ${typeof value}` });
}
