// A server of somebody else that acts for its callers, as far as OAuth goes. What it does by the book, npm `openid-client` does
// for it; what must be refused it makes with its own hands.
//
//   node exchange.js WHAT < JSON
//
//   keys      a key pair: {key, jwks}
//   begin     {issuer, client, scope, resource}: where its caller logs in, for a token that is made for it: {url, verifier}
//   finish    {issuer, client, verifier, resource, redirected}: that token
//   exchange  {server, name, key, token, parameters}: what the gateway gave for it, or {error, error_description, status}
//   assert    {key, claims, kind}: an assertion as nobody should make it

import { createHmac, createPublicKey } from 'node:crypto';

import { SignJWT, exportJWK, generateKeyPair, importJWK } from 'jose';
import * as client from 'openid-client';

const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token';

let text = '';
for await (const piece of process.stdin) text += piece;
const said = JSON.parse(text || '{}');
const loopback = { execute: [client.allowInsecureRequests] };

// The gateway as an authorization server: found by what it publishes of itself.
async function gateway() {
  const key = await importJWK(said.key, 'ES256');
  const proof = client.PrivateKeyJwt({ key, kid: said.key.kid });
  return client.discovery(new URL(said.server), said.name, undefined, proof, { ...loopback, algorithm: 'oauth2' });
}

const issuer = () => client.discovery(new URL(said.issuer), said.client, undefined, client.None(), loopback);

const work = {
  async keys() {
    const { publicKey, privateKey } = await generateKeyPair('ES256', { extractable: true });
    const named = { kid: 'k1', alg: 'ES256' };
    const jwks = { keys: [{ ...(await exportJWK(publicKey)), ...named, use: 'sig' }] };
    return { key: { ...(await exportJWK(privateKey)), ...named }, jwks };
  },
  async begin() {
    const config = await issuer();
    const verifier = client.randomPKCECodeVerifier();
    const url = client.buildAuthorizationUrl(config, {
      redirect_uri: 'http://127.0.0.1/callback', scope: said.scope, resource: said.resource,
      code_challenge: await client.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256',
    });
    return { url: url.href, verifier };
  },
  async finish() {
    const granted = await client.authorizationCodeGrant(
      await issuer(), new URL(said.redirected), { pkceCodeVerifier: said.verifier }, { resource: said.resource },
    );
    return { token: granted.access_token };
  },
  async exchange() {
    const parameters = { subject_token: said.token, subject_token_type: ACCESS_TOKEN, ...said.parameters };
    return client.genericGrantRequest(await gateway(), EXCHANGE, parameters);
  },
  async assert() {
    const { key, claims, kind } = said;
    const now = Math.floor(Date.now() / 1000);
    const payload = { iat: now, exp: now + 60, jti: crypto.randomUUID(), ...claims };
    for (const [name, value] of Object.entries(payload)) if (value === null) delete payload[name];
    const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
    if (kind === 'none') return { assertion: `${part({ alg: 'none', kid: key.kid })}.${part(payload)}.` };
    if (kind === 'hs256') {
      // The public key, which is no secret, used as if it were one.
      const spki = createPublicKey({ key, format: 'jwk' }).export({ type: 'spki', format: 'pem' });
      const signed = `${part({ alg: 'HS256', kid: key.kid })}.${part(payload)}`;
      return { assertion: `${signed}.${createHmac('sha256', spki).update(signed).digest('base64url')}` };
    }
    const signer = new SignJWT(payload).setProtectedHeader({ alg: 'ES256', kid: key.kid });
    return { assertion: await signer.sign(await importJWK(key, 'ES256')) };
  },
};

try {
  console.log(JSON.stringify(await work[process.argv[2]]()));
} catch (error) {
  const { error: word, error_description, status } = error;
  if (!word) throw error;
  console.log(JSON.stringify({ error: word, error_description, status }));
}
