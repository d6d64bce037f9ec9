// An OpenID provider to sign in at: the certified `oidc-provider` of npm, with its own login form.
//
// For: everyone who types a name is that person, with the address <name>@example.org, verified.
// Not for: anything but tests.
//
// node provider.mjs <folder of node_modules> <port> <client id> <client secret> <redirect> <address>…

import { createServer } from 'node:http';
import { pathToFileURL } from 'node:url';

const [modules, port, id, secret, redirect, ...addresses] = process.argv.slice(2);
const { default: Provider } = await import(pathToFileURL(`${modules}/oidc-provider/lib/index.js`));

const provider = new Provider(`http://localhost:${port}`, {
  clients: [{ client_id: id, client_secret: secret, redirect_uris: [redirect] }],
  pkce: { required: () => true },
  claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name', 'groups'] },
  features: { devInteractions: { enabled: true } },
  cookies: { keys: ['a key of tests'] },
  findAccount: (_, name) => ({
    accountId: name,
    claims: () => ({
      sub: name,
      name: `${name[0].toUpperCase()}${name.slice(1)}`,
      email: `${name}@example.org`,
      email_verified: name !== 'mallory',
      groups: name === 'olga' ? ['crew', 'everyone'] : ['everyone'],
    }),
  }),
});

for (const address of addresses) createServer(provider.callback()).listen(port, address);
