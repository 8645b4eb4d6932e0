// `socket.io` from npm. It speaks a protocol of its own over WebSocket, so no agent can deliver to it.
//
//     node socketio_server.js FILE PORT        FILE stays empty
'use strict';
const http = require('http');
const { Server } = require('socket.io');

const [, , , port] = process.argv;
const httpServer = http.createServer();
new Server(httpServer).engine.on('connection', (socket) => {
  console.log('connected');
  socket.on('close', (reason) => console.log(`closed: ${reason}`));
});
httpServer.listen(Number(port), '127.0.0.1', () => {
  console.log(`listening on ws://127.0.0.1:${httpServer.address().port}`);
});
