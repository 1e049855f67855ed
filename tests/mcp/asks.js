// A server on npm `@modelcontextprotocol/sdk`, which begins with a handshake, over standard input and output: it tells and asks in
// the middle of its calls, and does what no server should.

import { setTimeout as sleep } from 'node:timers/promises';

import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js';
import { z } from 'zod';

const server = new McpServer({ name: 'asks', version: '1' }, { capabilities: { logging: {} } });
const { server: peer } = server;
const said = (value) => ({ content: [{ type: 'text', text: typeof value === 'string' ? value : JSON.stringify(value) }] });
const tool = (name, inputSchema, work) =>
  server.registerTool(name, { description: `does ${name}`, inputSchema }, async (given, extra) => {
    try {
      return said(await work(given, extra));
    } catch (error) {
      return { ...said(`cannot ask: ${error.message}`), isError: true };
    }
  });
const progress = (extra, params) => {
  const progressToken = extra._meta?.progressToken;
  return extra.sendNotification({ method: 'notifications/progress', params: { progressToken, ...params } });
};
const name = { type: 'object', properties: { name: { type: 'string' } }, required: ['name'] };
const form = (message) => ({ mode: 'form', message, requestedSchema: name });
const words = (text) => ({ messages: [{ role: 'user', content: { type: 'text', text } }], maxTokens: 50 });

tool('capable', {}, async () => peer.getClientCapabilities());
tool('book', { message: z.string() }, async ({ message }, extra) => {
  const came = await peer.elicitInput(form(message), { relatedRequestId: extra.requestId });
  if (came.action !== 'accept') return `not booked: ${came.action}`;
  const said = await peer.createMessage(words(`greet ${came.content.name}`));
  return `booked for ${came.content.name}: ${said.content.text}`;
});
tool('elicit', { message: z.string() }, async ({ message }) => peer.elicitInput(form(message)));
tool('forbidden', {}, async () => peer.elicitInput(form('may I?')));
tool('visit', { url: z.string() }, async ({ url }) =>
  peer.elicitInput({ mode: 'url', message: 'please visit', url, elicitationId: 'e-1' }),
);
tool('roots', {}, async () => peer.listRoots());
tool('steps', { count: z.number(), message: z.string().optional() }, async ({ count, message }, extra) => {
  for (let step = 1; step <= count; step += 1) {
    await progress(extra, { progress: step, total: count, message: message ?? `step ${step}` });
  }
  await extra.sendNotification({ method: 'notifications/message', params: { level: 'info', data: message ?? 'all steps' } });
  return 'done';
});
tool('others', {}, async (_, extra) => {
  // Tokens that other requests have, or might.
  for (const progressToken of [1, 2, 'mine', 9999]) {
    await extra.sendNotification({ method: 'notifications/progress', params: { progressToken, progress: 1 } });
  }
  return 'told of others';
});
tool('endless', {}, async (_, extra) => {
  for (let step = 1; ; step += 1) {
    await progress(extra, { progress: step });
    await sleep(0);
  }
});
tool('huge', {}, async (_, extra) => {
  await progress(extra, { progress: 1, message: 'x'.repeat(5 * 1024 * 1024) });
  return 'told';
});
tool('late', {}, async (_, extra) => {
  setTimeout(async () => {
    await progress(extra, { progress: 1, message: 'too late' });
    await peer.elicitInput(form('after the end')).catch(() => {});
  }, 50);
  return 'ended';
});
tool('waits', {}, async (_, extra) => {
  await progress(extra, { progress: 1 });
  await sleep(40_000);
  return 'waited';
});

await server.connect(new StdioServerTransport());
