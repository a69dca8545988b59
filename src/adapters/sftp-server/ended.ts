// What somebody hears whose login does not hold any more.

import { AppError } from '../../core/errors.ts';
import type { Ended } from '../../flow/ports/accounts.ts';

const reasons: Readonly<Record<Exclude<Ended['reason'], 'expired'>, string>> = {
  removed: 'the account was removed',
  disabled: 'the account is disabled',
  network: 'it may not be used from this network',
  key: 'its key was taken away',
  password: 'its password was changed',
};

export function refusalOf(ended: Ended): AppError {
  if (ended.reason !== 'expired') {
    return new AppError('LOGIN_ENDED', { detail: reasons[ended.reason] });
  }
  const day = new Date(ended.expiresAt).toISOString().slice(0, 10);
  return new AppError('ACCOUNT_EXPIRED', { detail: `account expired on ${day}` });
}
