// A browser without a window: opens URL, follows redirects, fills in every form that it meets, and prints where it ended.
//
//   node visit.js URL NAME PASSWORD [--stop-before PREFIX]
//
// With --stop-before it does not follow a redirect to an address that begins with PREFIX, and prints that address: what
// somebody who intercepts a redirect would hold.

const [start, name, password, ...rest] = process.argv.slice(2);
const stop = rest[0] === '--stop-before' ? rest[1] : undefined;
const STEPS_MAX = 20;
const jars = new Map();

function keep(origin, response) {
  const jar = jars.get(origin) ?? new Map();
  jars.set(origin, jar);
  for (const cookie of response.headers.getSetCookie()) {
    const [pair] = cookie.split(';');
    const at = pair.indexOf('=');
    const [key, value] = [pair.slice(0, at), pair.slice(at + 1)];
    if (value === '') jar.delete(key); else jar.set(key, value);
  }
}

function attributes(tag) {
  return Object.fromEntries([...tag.matchAll(/([a-z_-]+)="([^"]*)"/gi)].map(([, key, value]) => [key, value]));
}

// The first form of a page, filled in.
function form(html, address) {
  const found = /<form([^>]*)>([\s\S]*?)<\/form>/i.exec(html);
  if (!found) return undefined;
  const fields = new URLSearchParams();
  for (const [, tag] of found[2].matchAll(/<input([^>]*)>/gi)) {
    const input = attributes(tag);
    if (!input.name) continue;
    fields.set(input.name, { login: name, password }[input.name] ?? input.value ?? '');
  }
  return { address: new URL(attributes(found[1]).action ?? address, address).href, fields };
}

let address = start;
let sent;
for (let step = 0; step < STEPS_MAX; step += 1) {
  const { origin } = new URL(address);
  const cookie = [...(jars.get(origin) ?? [])].map(([key, value]) => `${key}=${value}`).join('; ');
  const response = await fetch(address, {
    method: sent ? 'POST' : 'GET', body: sent, redirect: 'manual', headers: cookie ? { cookie } : {},
  });
  keep(origin, response);
  const location = response.headers.get('location');
  if (location) {
    address = new URL(location, address).href;
    sent = undefined;
    if (stop && address.startsWith(stop)) { console.log(JSON.stringify({ stopped: address })); process.exit(0); }
    continue;
  }
  const html = await response.text();
  const next = response.ok && form(html, address);
  if (!next) { console.log(JSON.stringify({ status: response.status, address, text: html.slice(0, 2000) })); process.exit(0); }
  ({ address, fields: sent } = next);
}
console.error('too many steps');
process.exit(1);
