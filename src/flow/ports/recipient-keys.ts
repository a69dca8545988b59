// What is asked about a receiver's public key: when it is added (`recipient add`), and again before each use.

export interface RecipientKey {
  /** Upper-case hex, of the primary key. */
  readonly fingerprint: string;
  /** The first user ID, e.g. `Dr. Ann Arbor <ann@umhs.example>`. */
  readonly userId: string;
  /** Of the primary and the encryption key, e.g. `rsa4096`, `ed25519/cv25519`, `nistP256`. */
  readonly algorithm: string;
  readonly createdAt: Date;
  /** When nothing can be encrypted to it any more, or undefined when it does not expire. */
  readonly expiresAt: Date | undefined;
  /** This one public key, armored anew: what is kept in the database. */
  readonly armored: string;
}

export interface RecipientKeys {
  /**
   * Reads a file that holds exactly one public key, armored or binary, and judges whether it can be encrypted to now.
   * Throws RECIPIENT_KEY, its detail saying what is wrong: a private key, several keys, expired, revoked, cannot encrypt,
   * too weak, not readable, no user ID.
   */
  inspect(file: Uint8Array | string): Promise<RecipientKey>;
  /** Can this armored key be encrypted to at that time? Never throws. */
  isUsable(armored: string, at: Date): Promise<boolean>;
}
