// A real OpenID provider (npm `oidc-provider`) on loopback, for the tests of the whole product.
//
//   node issuer.js PORT CONTROL_PORT LOGOUT_URI
//
// On PORT it is an issuer: people log in at a form with name and password. On CONTROL_PORT the test does what an
// organisation's administrator does (groups, keys, leavers) and what an attacker does (forged tokens).

import { createHmac, createPublicKey, generateKeyPairSync, randomBytes, randomUUID } from 'node:crypto';
import { createServer } from 'node:http';

import { SignJWT, exportJWK, importJWK } from 'jose';
import Provider from 'oidc-provider';

const [port, controlPort, logoutUri] = process.argv.slice(2);
const issuer = `http://127.0.0.1:${port}`;
const CLI = 'chaperone-cli';
const MFA = 'urn:example:mfa';
// An AI client, registered by an administrator, and what it may ask of a gateway's tools.
const ASSISTANT = 'assistant';
const TOOL_SCOPES = 'clinic.read clinic.query';

// Everybody's password is their own name; `otp` among the methods stands for a second factor that was asked for.
const people = new Map(Object.entries({
  ana: { name: 'Ana Nurse', groups: ['nurses'], clinics: ['1', '2'], senior: false, level: 3, amr: ['pwd', 'otp'], acr: MFA },
  ben: { name: 'Ben Billing', groups: ['billing'], clinics: [], senior: true, level: 1, amr: ['pwd'] },
  dora: { name: 'Dora Engineer', groups: ['engineers'], clinics: [], senior: true, level: 9, amr: ['pwd', 'otp'], acr: MFA },
}));

// Shared by every provider that is made, so that a new key does not forget who is logged in.
const kept = new Map();
class Kept {
  constructor(model) { this.model = model; }
  key(id) { return `${this.model}:${id}`; }
  async upsert(id, payload) { kept.set(this.key(id), { ...payload }); }
  async find(id) { return kept.get(this.key(id)); }
  async by(field, value) {
    for (const [key, payload] of kept) if (key.startsWith(`${this.model}:`) && payload[field] === value) return payload;
    return undefined;
  }
  async findByUid(uid) { return this.by('uid', uid); }
  async findByUserCode(code) { return this.by('userCode', code); }
  async consume(id) { kept.get(this.key(id)).consumed = Math.floor(Date.now() / 1000); }
  async destroy(id) { kept.delete(this.key(id)); }
  async revokeByGrantId(grant) {
    for (const [key, payload] of kept) if (payload.grantId === grant) kept.delete(key);
  }
}

async function newKey() {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return { ...(await exportJWK(privateKey)), kid: randomUUID(), use: 'sig', alg: 'RS256' };
}

let key = await newKey();
let provider;
let handle;
let hasEnded = false;

function account(sub) {
  const person = people.get(sub);
  if (!person || person.disabled) return undefined;
  const { name, groups, clinics, senior, level } = person;
  return { accountId: sub, claims: async () => ({ sub, name, groups, clinics, senior, level }) };
}

function begin() {
  provider = new Provider(issuer, {
    adapter: Kept,
    acrValues: [MFA],
    claims: { openid: ['sub', 'acr', 'amr'], profile: ['name'], groups: ['groups', 'clinics', 'senior', 'level'], auth_time: null, sid: null },
    clients: [{
      client_id: CLI,
      application_type: 'native',
      token_endpoint_auth_method: 'none',
      redirect_uris: ['http://127.0.0.1/callback'],
      response_types: ['code'],
      grant_types: ['authorization_code', 'refresh_token', 'urn:ietf:params:oauth:grant-type:device_code'],
      require_auth_time: true,
      backchannel_logout_uri: logoutUri,
      backchannel_logout_session_required: true,
    }, {
      client_id: ASSISTANT,
      application_type: 'native',
      token_endpoint_auth_method: 'none',
      redirect_uris: ['http://127.0.0.1/callback'],
      response_types: ['code'],
      grant_types: ['authorization_code', 'refresh_token'],
    }, {
      client_id: 'chaperone-gateway',
      client_secret: 'a secret of the tests',
      redirect_uris: [],
      response_types: [],
      grant_types: [],
    }],
    // Groups stand in the ID token itself, as most organisations have it.
    conformIdTokenClaims: false,
    cookies: { keys: [randomBytes(16).toString('hex')] },
    features: {
      backchannelLogout: { enabled: true },
      deviceFlow: { enabled: true, charset: 'base-20', mask: '****-****' },
      devInteractions: { enabled: false },
      introspection: { enabled: true, allowedPolicy: async () => true },
      revocation: { enabled: true },
      // A token for somebody's tools is a JWT for them and nobody else (RFC 8707, RFC 9068).
      resourceIndicators: {
        enabled: true,
        defaultResource: async () => undefined,
        getResourceServerInfo: async (_ctx, resource) => ({
          scope: TOOL_SCOPES, audience: resource, accessTokenFormat: 'jwt', accessTokenTTL: 600, jwt: { sign: { alg: 'RS256' } },
        }),
      },
    },
    extraTokenClaims: async (_ctx, token) => (token.accountId ? account(token.accountId)?.claims() : undefined),
    // By default it speaks with nobody on loopback, which is where everybody is here.
    fetch: (url, { dispatcher, ...options }) => globalThis.fetch(url, options),
    findAccount: async (_ctx, sub) => account(sub),
    interactions: { url: (_ctx, interaction) => `/interaction/${interaction.uid}` },
    issueRefreshToken: async () => true,
    jwks: { keys: [key] },
    pkce: { required: () => true },
    scopes: ['openid', 'profile', 'groups', 'offline_access'],
    ttl: { AccessToken: 600, AuthorizationCode: 60, DeviceCode: 600, Grant: 86400, IdToken: 600, Interaction: 600, RefreshToken: 86400, Session: 86400 },
  });
  handle = provider.callback();
}

async function body(request) {
  let text = '';
  for await (const piece of request) text += piece;
  return text;
}

// The pages, and what comes of their forms: who are you, then may the client know it.
async function interaction(request, response) {
  const { prompt, session, params } = await provider.interactionDetails(request, response);
  if (request.method === 'GET') {
    const fields = prompt.name === 'login' ? ['login', 'password'] : ['agreed'];
    const inputs = fields.map((field) => `<input type="text" name="${field}" value=""/>`);
    response.setHeader('content-type', 'text/html');
    response.end(`<form method="post">${inputs.join('')}</form>`);
    return;
  }
  const form = new URLSearchParams(await body(request));
  const result = prompt.name === 'login' ? { login: loggedIn(form) } : { consent: await consented(session, params) };
  if (prompt.name === 'login' && !result.login) {
    response.statusCode = 403;
    response.end('wrong name or password');
    return;
  }
  await provider.interactionFinished(request, response, result, { mergeWithLastSubmission: false });
}

function loggedIn(form) {
  const name = form.get('login');
  const person = people.get(name);
  if (!person || person.disabled || form.get('password') !== name) return undefined;
  const { amr, acr } = person;
  return { accountId: name, amr, ...(acr && { acr }) };
}

async function consented(session, params) {
  const grant = new provider.Grant({ clientId: params.client_id, accountId: session.accountId });
  const scopes = (params.scope ?? '').split(' ').filter(Boolean);
  const oidc = scopes.filter((scope) => !TOOL_SCOPES.includes(scope));
  if (oidc.length > 0) grant.addOIDCScope(oidc.join(' '));
  for (const resource of [params.resource ?? []].flat()) {
    grant.addResourceScope(resource, scopes.filter((scope) => TOOL_SCOPES.includes(scope)).join(' '));
  }
  return { grantId: await grant.save() };
}

let open = new Set();
let server;
async function listen() {
  server = createServer((request, response) => {
    const work = request.url.startsWith('/interaction/') ? interaction : handle;
    Promise.resolve(work(request, response)).catch((error) => { response.statusCode = 500; response.end(String(error)); });
  });
  server.on('connection', (socket) => { open.add(socket); socket.on('close', () => open.delete(socket)); });
  await new Promise((resolve) => server.listen(Number(port), '127.0.0.1', resolve));
}

// Tokens as an attacker, or an issuer that has been set up wrongly, would make them.
async function forge({ claims = {}, kind, key_of: other }) {
  const now = Math.floor(Date.now() / 1000);
  const payload = { iss: issuer, sub: 'ana', aud: CLI, iat: now, exp: now + 600, auth_time: now, groups: ['nurses'],
    clinics: ['1'], senior: false, level: 3, name: 'Ana Nurse', amr: ['pwd', 'otp'], acr: MFA, ...claims };
  for (const [name, value] of Object.entries(payload)) if (value === null) delete payload[name];
  const text = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  if (kind === 'none') return `${text({ alg: 'none', kid: key.kid })}.${text(payload)}.`;
  if (kind === 'hs256') {
    // The public key, which everybody has, used as if it were a shared secret.
    const spki = createPublicKey({ key, format: 'jwk' }).export({ type: 'spki', format: 'pem' });
    const signed = `${text({ alg: 'HS256', kid: key.kid })}.${text(payload)}`;
    return `${signed}.${createHmac('sha256', spki).update(signed).digest('base64url')}`;
  }
  // `stranger`: signed soundly by a key that the issuer never published, under the kid of one that it did.
  const signer = kind === 'stranger' || other ? await newKey() : key;
  return new SignJWT(payload).setProtectedHeader({ alg: 'RS256', kid: key.kid }).sign(await importJWK(signer, 'RS256'));
}

const control = {
  // Change what is known of somebody: {sub, groups?, clinics?, disabled?, amr?, acr?}.
  async person({ sub, ...changes }) { people.set(sub, { ...people.get(sub), ...changes }); return {}; },
  // Sign with a new key from now on; the old one is not published any more.
  async rotate() { key = await newKey(); begin(); return { kid: key.kid }; },
  // End somebody's sessions as the issuer's administrator would: back-channel logout to the client.
  async logout({ sub }) {
    const client = await provider.Client.find(CLI);
    const sids = [];
    for (const [name, payload] of kept) {
      if (!name.startsWith('Session:') || payload.accountId !== sub) continue;
      const sid = payload.authorizations?.[CLI]?.sid;
      if (sid) { await client.backchannelLogout(sub, sid); sids.push(sid); }
      kept.delete(name);
    }
    return { sids };
  },
  // Forget every refresh token of somebody.
  async revoke({ sub }) {
    let count = 0;
    for (const [name, payload] of kept) {
      if (name.startsWith('RefreshToken:') && payload.accountId === sub) { kept.delete(name); count += 1; }
    }
    return { count };
  },
  async down() {
    if (hasEnded) return {};
    hasEnded = true;
    for (const socket of open) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
    return {};
  },
  async up() { if (hasEnded) { hasEnded = false; await listen(); } return {}; },
  async forge(what) { return { token: await forge(what) }; },
};

begin();
await listen();
createServer(async (request, response) => {
  try {
    const work = control[request.url.slice(1)];
    if (!work) throw new Error(`no control ${request.url}`);
    const answer = await work(JSON.parse((await body(request)) || '{}'));
    response.end(JSON.stringify(answer));
  } catch (error) {
    response.statusCode = 500;
    response.end(String(error.stack ?? error));
  }
}).listen(Number(controlPort), '127.0.0.1', () => console.log(JSON.stringify({ issuer })));
