// What all steps of one task share: the task, the profile that it names, the ports, and what was counted so far.

import { createPolicy, type Policy } from '../core/deid/policy.ts';
import type { Profile } from '../core/deid/profile.ts';
import type { HoldReason } from '../core/reasons.ts';
import type {
  Crosswalk,
  Encryptor,
  ProcessTask,
  SubjectAnswer,
  SubjectIdentity,
} from './ports/processing.ts';
import type { Zips } from './ports/zip.ts';
import { ReportBuilder } from './process-report.ts';
import { sha256Of, type Bytes, type Source } from './process-source.ts';

export interface ProcessDeps {
  readonly encryptor: Encryptor;
  readonly crosswalk: Crosswalk;
  readonly zips: Zips;
}

export interface ProcessContext {
  readonly task: ProcessTask;
  readonly deps: ProcessDeps;
  readonly profile: Profile;
  readonly policy: Policy;
  readonly uidKey: Uint8Array;
  readonly nameKey: Uint8Array;
  readonly identityKey: Uint8Array;
  readonly report: ReportBuilder;
  readonly signal: AbortSignal;
  /** Did an administrator release the whole upload from this rule (`held release`)? */
  isReleased(reason: HoldReason): boolean;
  /** The crosswalk, asked once for each identity: a zip of a study has thousands of the same. */
  subjectOf(identity: SubjectIdentity): Promise<SubjectAnswer>;
}

/** One upload under way: the same bytes as a file to hash and as a stream to look into. */
export interface Work {
  readonly context: ProcessContext;
  readonly source: Source;
  readonly bytes: Bytes;
}

export async function createContext(
  task: ProcessTask,
  deps: ProcessDeps,
  signal: AbortSignal,
): Promise<ProcessContext> {
  const policy = policyOf(task.profile);
  const { profile } = policy;
  // A release is for a content, so the content has to be known before it counts.
  const released =
    task.releases.length === 0 ? undefined : `:${await sha256Of(task.source, signal)}`;
  const answers = new Map<string, Promise<SubjectAnswer>>();
  const how = {
    code: profile.subject.code,
    prefix: profile.subject.prefix,
    wholeWeeks: profile.dates.wholeWeeks,
  };
  return {
    task,
    deps,
    profile,
    policy,
    uidKey: keyFrom(task.keys.uid),
    nameKey: keyFrom(task.keys.name),
    identityKey: keyFrom(task.keys.identity),
    signal,
    report: new ReportBuilder(),
    isReleased: (reason) =>
      released !== undefined && task.releases.includes(`${reason}${released}`),
    subjectOf: async (identity) => {
      const key = JSON.stringify(identity);
      const known = answers.get(key) ?? deps.crosswalk.resolve(task.projectId, identity, how);
      answers.set(key, known);
      return known;
    },
  };
}

/** A project's key is the same bytes for each of its tasks, so that what core/deid/uid remembers for a key stays of use. */
const keys = new Map<string, Uint8Array>();

function keyFrom(hex: string): Uint8Array {
  let key = keys.get(hex);
  if (key === undefined) {
    if (keys.size >= 64) keys.clear();
    keys.set(hex, (key = Buffer.from(hex, 'hex')));
  }
  return key;
}

/** Policies of the last profiles, by their JSON: building one costs more than a small file. */
const policies = new Map<string, Policy>();

function policyOf(json: string): Policy {
  const known = policies.get(json);
  if (known !== undefined) return known;
  // The main thread resolved and validated it (core/deid/profile); it is no outside data here.
  const policy = createPolicy(JSON.parse(json) as Profile);
  if (policies.size >= 16) policies.clear();
  policies.set(json, policy);
  return policy;
}
