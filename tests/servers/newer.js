// npm `@modelcontextprotocol/server` over standard input and output, in the newest revision only: it takes no handshake.

import { McpServer, fromJsonSchema, inputRequired } from '@modelcontextprotocol/server';
import { serveStdio } from '@modelcontextprotocol/server/stdio';

const given = (properties) => fromJsonSchema({ type: 'object', properties });
const text = (said) => ({ content: [{ type: 'text', text: said }] });

serveStdio(
  () => {
    const server = new McpServer({ name: 'newer', version: '3' }, { instructions: 'call `echo`' });
    const region = { type: 'string', 'x-mcp-header': 'Region' };
    server.registerTool('echo', { inputSchema: given({ region, n: { type: 'number' } }) }, (came, { mcpReq }) =>
      text(JSON.stringify({ came, meta: mcpReq.envelope })),
    );
    const list = fromJsonSchema({ type: 'array', items: { type: 'number' } });
    server.registerTool('counts', { inputSchema: given({}), outputSchema: list }, () => ({
      content: [{ type: 'text', text: 'three numbers' }],
      structuredContent: [1, 2, 3],
    }));
    server.registerTool('asks', { inputSchema: given({}) }, () =>
      inputRequired({
        inputRequests: { name: inputRequired.elicit({ message: 'whose?', requestedSchema: { type: 'object', properties: {} } }) },
        requestState: 'once',
      }),
    );
    server.registerTool('books', { inputSchema: given({}) }, (_, { mcpReq }) => {
      const answer = mcpReq.inputResponses?.name;
      if (answer) return text(`booked: ${JSON.stringify(answer)}`);
      const asks = { message: 'whose?', requestedSchema: { type: 'object', properties: { name: { type: 'string' } } } };
      return inputRequired({ inputRequests: { name: inputRequired.elicit(asks) } });
    });
    server.registerTool('grows', { inputSchema: given({}) }, () => {
      server.registerTool('grown', { inputSchema: given({}) }, () => text('new'));
      return text('one more');
    });
    return server;
  },
  { legacy: 'reject' },
);
