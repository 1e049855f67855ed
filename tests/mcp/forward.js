// Passes requests on to a gateway with a token, for a client that can send none; all else of them stays.
//
//   node forward.js PORT URL TOKEN

import http from 'node:http';

const [port, url, token] = process.argv.slice(2);
const to = new URL(url);
const server = http.createServer((request, response) => {
  const headers = { ...request.headers, authorization: `Bearer ${token}` };
  const { hostname, pathname: path } = to;
  const onward = http.request({ hostname, port: to.port, path, method: request.method, headers }, (answer) => {
    response.writeHead(answer.statusCode, answer.rawHeaders);
    answer.pipe(response);
  });
  onward.on('error', () => response.destroy());
  response.on('close', () => onward.destroy());
  request.pipe(onward);
});
server.listen(Number(port), '127.0.0.1');
