// Who and what this site knows: projects, members, recipients. Written for flow/admin, which decides what may be done, and
// for the accounts that log in. Each change is one transaction with its audit entry; the store knows who acts.

export interface ProjectSettings {
  /** What becomes of DICOM that is put into the outgoing folder as it is (SPEC 3): held as a slip, or passed on. */
  readonly directDicom: 'hold' | 'allow';
  /** Room for everything that lies in the project's folders; null: no limit. */
  readonly quotaBytes: number | null;
}

export interface Project {
  readonly id: string;
  /** Without `ji_`. */
  readonly name: string;
  readonly state: 'active' | 'archived';
  /** Name of a shipped profile, or of a file in config/profiles without `.yaml`. */
  readonly profile: string;
  readonly settings: ProjectSettings;
  /** Codes, sorted. */
  readonly partners: readonly string[];
  /** While there is one, retention removes nothing of the project. */
  readonly legalHold: { readonly reason: string; readonly since: number } | null;
  readonly createdAt: number;
}

export interface ProjectChange {
  /** Why it begins, or why it ends. */
  readonly legalHold?: { readonly isOn: boolean; readonly reason: string };
  readonly state?: 'active' | 'archived';
  readonly profile?: string;
  readonly settings?: Partial<ProjectSettings>;
  readonly addPartners?: readonly string[];
  readonly removePartners?: readonly string[];
}

export interface Projects {
  list(): Promise<readonly Project[]>;
  find(name: string): Promise<Project | undefined>;
  get(id: string): Promise<Project | undefined>;
  /** Makes the project or changes the one that is there. */
  put(
    name: string,
    change: ProjectChange,
  ): Promise<{ readonly project: Project; readonly isNew: boolean }>;
}

export interface SshKey {
  /** `SHA256:…` as ssh-keygen -l prints it. */
  readonly fingerprint: string;
  readonly algorithm: string;
  /** Base64 of the SSH wire form (RFC 4253 §6.6). */
  readonly blob: string;
  readonly comment: string;
  /** Networks from which this key opens; empty: from anywhere. Undefined: as it is, or from anywhere when it is new. */
  readonly sources?: readonly string[];
}

export interface Member {
  readonly id: string;
  readonly name: string;
  readonly state: 'active' | 'disabled' | 'removed';
  /** Names of the projects, sorted. */
  readonly projects: readonly string[];
  /** Argon2id in PHC form. Stays inside: flow/admin never shows it. */
  readonly passwordHash: string | null;
  readonly keys: readonly SshKey[];
  readonly expiresAt: number | null;
  /** Networks from which it may log in; empty: from anywhere. */
  readonly sources: readonly string[];
  /** Room for everything in its own folders, in all projects together; null: no limit. */
  readonly quotaBytes: number | null;
  readonly createdAt: number;
}

export interface MemberChange {
  readonly projectIds?: readonly string[];
  /** Whoever would have no project left stays in all of them: CONFLICT. */
  readonly leavesProjectIds?: readonly string[];
  readonly passwordHash?: string;
  readonly key?: SshKey;
  /** null: never. */
  readonly expiresAt?: number | null;
  readonly state?: 'active' | 'disabled';
  readonly sources?: readonly string[];
  readonly quotaBytes?: number | null;
  /** For the audit: penalties for wrong logins were taken back. */
  readonly unlocked?: true;
}

export interface Members {
  /** All that are not removed, by name. */
  list(): Promise<readonly Member[]>;
  find(name: string): Promise<Member | undefined>;
  get(id: string): Promise<Member | undefined>;
  /** Makes the member or changes the one that is there; projects and keys are added to what it has. */
  put(
    name: string,
    change: MemberChange,
  ): Promise<{ readonly member: Member; readonly isNew: boolean }>;
  /** False when there is no such key. */
  removeKey(memberId: string, fingerprint: string): Promise<boolean>;
  /**
   * The name becomes free; keys and memberships go. Uploads that nobody claimed yet are withdrawn, since their owner's
   * folder moves away: their number is returned.
   */
  remove(memberId: string): Promise<{ readonly withdrawn: number }>;
}

export interface Recipient {
  readonly id: string;
  readonly projectId: string;
  /** The project's name. */
  readonly project: string;
  readonly partner: string;
  readonly fingerprint: string;
  readonly userId: string;
  readonly algorithm: string;
  readonly armored: string;
  readonly expiresAt: number | null;
  readonly createdAt: number;
}

export interface Recipients {
  list(filter?: {
    readonly projectId?: string;
    readonly partner?: string;
  }): Promise<readonly Recipient[]>;
  /** Adds the key, or renews the one with this fingerprint (a new expiry, a new subkey). */
  put(
    key: Omit<Recipient, 'id' | 'project' | 'createdAt'>,
  ): Promise<{ readonly recipient: Recipient; readonly isNew: boolean }>;
  remove(id: string): Promise<void>;
  /** Notes in the audit that a warning was given, once for each number of days; false when it was given before. */
  warned(id: string, days: number): Promise<boolean>;
}

export interface Passwords {
  hash(password: string): Promise<string>;
  /** With an undefined hash: false, after as much work as a real comparison. */
  verify(hash: string | undefined, password: string): Promise<boolean>;
}

export interface SshKeys {
  /** One public key: a line as in authorized_keys, or RFC 4716. Throws BAD_INPUT: private, several, weak, not a key. */
  parse(text: string): SshKey;
}

/** The files of the instance that administration touches. Everything is made 0700/0600. */
export interface InstanceFiles {
  /** Makes a folder below data/home and what is missing above it. */
  ensureFolder(path: string): Promise<void>;
  /**
   * Moves data/home/ji_<project>/<name> of a former owner to data/removed/<ownerId>/ji_<project>; nothing when it is not
   * there. Nothing is deleted, and a new owner of the name finds nothing.
   */
  retire(project: string, name: string, ownerId: string): Promise<void>;
  /** Names (without .yaml) of the profiles in the package, or in config/profiles. A shipped name wins. */
  profileNames(where: 'shipped' | 'own'): Promise<readonly string[]>;
  /** The text of a profile; undefined when there is none of this name. */
  readProfile(name: string): Promise<string | undefined>;
  /** Whole or not at all. */
  writeProfile(name: string, text: string): Promise<void>;
}

/** One thing that `clubhouse doctor` looked at. */
export interface Finding {
  readonly check: string;
  readonly state: 'ok' | 'warning' | 'error';
  readonly text: string;
}
