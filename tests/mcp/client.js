// npm `@modelcontextprotocol/sdk` as a client of a gateway.
//
//   node client.js URL TOKEN
//
// Reads a JSON list of calls, `{"tool": .., "arguments": {..}}`; `"continue": true` adds the continuation of the answer before.

import { text } from 'node:stream/consumers';

import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';

const [url, token] = process.argv.slice(2);
const calls = JSON.parse(await text(process.stdin));
const client = new Client({ name: 'a test', version: '1' });
const transport = new StreamableHTTPClientTransport(new URL(url), {
  requestInit: { headers: { Authorization: `Bearer ${token}` } },
});
await client.connect(transport);
const { tools } = await client.listTools();
const results = [];
let continuation;
for (const { tool, arguments: given = {}, continue: goes } of calls) {
  const result = await client.callTool({ name: tool, arguments: goes ? { ...given, continuation } : given });
  continuation = result.structuredContent?.continuation ?? continuation;
  results.push({
    error: result.isError ?? false,
    structured: result.structuredContent ?? null,
    text: result.content.filter(({ type }) => type === 'text').map((block) => block.text).join('\n'),
  });
}
console.log(JSON.stringify({ version: transport.protocolVersion, tools, results }));
await client.close();
