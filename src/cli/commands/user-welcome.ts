// The text that an administrator sends to a researcher: everything that is needed for the first upload, and no secret.

import type { Config } from '../../config.ts';
import type { MemberView } from '../../app.ts';

/** The name by which people reach us, where the configuration tells it. */
export function publicAddress({ listen: { host, publicHost } }: Config): string | undefined {
  const isLocal = ['127.0.0.1', '::1', 'localhost', '0.0.0.0', '::'].includes(host);
  return publicHost ?? (isLocal ? undefined : host);
}

export function welcomeText(
  member: MemberView,
  config: Config,
  hostKeys: readonly string[],
): string {
  const port = config.listen.publicPort ?? config.listen.port;
  const address = publicAddress(config) ?? 'THE-ADDRESS-OF-OUR-SERVER';
  const login = member.hasPassword ? 'the password that you agreed on' : 'your SSH key';
  return [
    `Welcome to Clubhouse at ${config.site}, ${member.name}.`,
    '',
    'Connect with FileZilla, WinSCP, sftp or any other SFTP client:',
    `  sftp -P ${port} ${member.name}@${address}`,
    `  protocol SFTP, host ${address}, port ${port}, user ${member.name}, with ${login}`,
    '',
    'At the first connection your client shows the host key of the server. Accept it only if it is',
    ...hostKeys.map((key) => `  ${key}`),
    '',
    ...member.projects.flatMap((project) => [
      `Project ${project}:`,
      `  /home/ji_${project}/${member.name}/gpg/`,
      `      put DICOM files, or zip files of them, here`,
      `  /home/ji_${project}/${member.name}/receipts/`,
      `      read here what became of each file`,
      `  /home/ji_${project}/club_house/`,
      `      shared folders; files arrive here from the partner`,
      '',
    ]),
    'Only you can see your own folder. What you put into gpg/ is de-identified and encrypted before it leaves.',
    'Never put DICOM files into the shared folders directly.',
  ].join('\n');
}
