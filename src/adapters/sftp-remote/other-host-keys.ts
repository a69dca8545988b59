// A server may tell its other host keys after the login (hostkeys-00@openssh.com). ssh2 then asks for a proof of each, and keeps
// what it asked until the answer: a partner that never answers fills our memory. We pin one key and want no other. Reads an
// inner field of ssh2; a test fails when it is gone, and then ssh2 goes on asking.

import type { Client } from 'ssh2';

type Handler = (protocol: unknown, name: string, ...rest: readonly unknown[]) => void;

interface InnerProtocol {
  readonly _handlers?: { GLOBAL_REQUEST?: Handler };
}

/** To be called once the client connects. ssh2 hears of a request that it does not know. */
export function ignoreOtherHostKeys(client: Client): void {
  const { _protocol: protocol } = client as unknown as { readonly _protocol?: InnerProtocol };
  const handlers = protocol?._handlers;
  const given = handlers?.GLOBAL_REQUEST;
  if (handlers === undefined || typeof given !== 'function') return;
  handlers.GLOBAL_REQUEST = (from, name, ...rest) => {
    given(from, name === 'hostkeys-00@openssh.com' ? 'unwanted' : name, ...rest);
  };
}
