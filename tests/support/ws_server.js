// A plain server: `ws` from npm, level 0. Each message is in the file before the handler returns, so that what the
// WebSocket layer has taken is stored, whenever the process is killed. It answers nothing.
//
//     node ws_server.js FILE PORT [MAX]  takes messages of MAX bytes at most, and prints "listening on ws://127.0.0.1:PORT"
'use strict';
const fs = require('fs');
const { WebSocketServer } = require('ws');

const [, , path, port, max] = process.argv;
const file = fs.openSync(path, 'a+');
// SIGKILL may cut a write at the end of a page: what was cut was never confirmed, and comes again.
fs.ftruncateSync(file, fs.readFileSync(path).lastIndexOf('\n') + 1);
const server = new WebSocketServer({ host: '127.0.0.1', port: Number(port), maxPayload: Number(max || 104857600) });
server.on('listening', () => console.log(`listening on ws://127.0.0.1:${server.address().port}`));
server.on('connection', (socket) => {
  socket.on('message', (text) => fs.writeSync(file, `${text}\n`));
  socket.on('error', (error) => console.log(`connection: ${error.message}`));
});
