// npm `@modelcontextprotocol/sdk` as a client that can be told and asked in the middle of a call.
//
//   node asked.js URL TOKEN TOOL ARGUMENTS
//
// Prints what it was told and asked, and what came of the call.

import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import {
  CreateMessageRequestSchema,
  ElicitRequestSchema,
  ListRootsRequestSchema,
  LoggingMessageNotificationSchema,
} from '@modelcontextprotocol/sdk/types.js';

const [url, token, name, given] = process.argv.slice(2);
const capabilities = { elicitation: { form: {}, url: {} }, sampling: {}, roots: {} };
const client = new Client({ name: 'a test', version: '1' }, { capabilities });
const heard = [];
client.setRequestHandler(ElicitRequestSchema, async ({ params }) => {
  heard.push({ asked: 'elicitation', params });
  return params.mode === 'url' ? { action: 'accept' } : { action: 'accept', content: { name: 'turquoise' } };
});
client.setRequestHandler(CreateMessageRequestSchema, async ({ params }) => {
  heard.push({ asked: 'sampling', params });
  return { role: 'assistant', content: { type: 'text', text: 'Hello from a model' }, model: 'a-model' };
});
client.setRequestHandler(ListRootsRequestSchema, async () => {
  heard.push({ asked: 'roots' });
  return { roots: [{ uri: 'file:///srv/notes' }] };
});
client.setNotificationHandler(LoggingMessageNotificationSchema, ({ params }) => heard.push({ told: 'message', ...params }));
const transport = new StreamableHTTPClientTransport(new URL(url), {
  requestInit: { headers: { Authorization: `Bearer ${token}` } },
});
await client.connect(transport);
const onprogress = (params) => heard.push({ told: 'progress', ...params });
const result = await client.callTool({ name, arguments: JSON.parse(given) }, undefined, { onprogress });
const text = result.content.filter(({ type }) => type === 'text').map((block) => block.text).join('\n');
const session = transport.sessionId;
await transport.terminateSession();
console.log(JSON.stringify({ version: transport.protocolVersion, session, error: result.isError ?? false, text, heard }));
await client.close();
