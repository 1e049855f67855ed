// npm `@modelcontextprotocol/client` as a client of a gateway: one call.
//
//   node newer.js URL TOKEN MODE TOOL ARGUMENTS
//
// MODE is `legacy` or `auto`; ARGUMENTS is JSON.

import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';

const [url, token, mode, name, given] = process.argv.slice(2);
const client = new Client({ name: 'a test', version: '1' }, { versionNegotiation: { mode } });
const transport = new StreamableHTTPClientTransport(new URL(url), {
  requestInit: { headers: { Authorization: `Bearer ${token}` } },
});
await client.connect(transport);
const { tools } = await client.listTools();
const result = await client.callTool({ name, arguments: JSON.parse(given) });
console.log(JSON.stringify({ version: client.getNegotiatedProtocolVersion(), tools, result }));
await client.close();
