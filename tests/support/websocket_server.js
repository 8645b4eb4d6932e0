// A plain server: `websocket` from npm, level 0. Its defaults take frames of 64 KiB and messages of 1 MiB.
//
//     node websocket_server.js FILE PORT [EVERY]   closes each connection after EVERY messages
'use strict';
const fs = require('fs');
const http = require('http');
const { server: WebSocketServer } = require('websocket');

const [, , path, port, every] = process.argv;
const file = fs.openSync(path, 'a+');
const httpServer = http.createServer((request, response) => response.writeHead(404).end());
new WebSocketServer({ httpServer, autoAcceptConnections: true }).on('connect', (connection) => {
  let taken = 0;
  connection.on('message', (message) => {
    fs.writeSync(file, `${message.utf8Data}\n`);
    taken += 1;
    if (taken === Number(every)) connection.close(1000, 'enough');
  });
  connection.on('close', (code, reason) => console.log(`closed: ${code} ${reason}`));
});
httpServer.listen(Number(port), '127.0.0.1', () => {
  console.log(`listening on ws://127.0.0.1:${httpServer.address().port}`);
});
