// What one writes in an afternoon: claude's stdout by line, parsed, and each line sent as a message over `ws`.
// It holds nothing on disk, hides no secret, numbers nothing, and has no answer to a lost connection.
const { spawn } = require('child_process');
const readline = require('readline');
const WebSocket = require('ws');

const socket = new WebSocket(process.env.WS_SERVER);
const send = (type, data) =>
  socket.send(JSON.stringify({ type, containerID: 'bench', timestamp: new Date().toISOString(), data }));

socket.on('open', () => {
  send('STATUS', { status: 'running' });
  const child = spawn(process.env.CLAUDE_BIN, ['-p', '--output-format', 'stream-json', '--verbose']);
  child.stdin.end('task');
  const lines = readline.createInterface({ input: child.stdout, crlfDelay: Infinity });
  lines.on('line', (line) => {
    const message = JSON.parse(line);
    send('LOG', { level: 'info', message: message.type, metadata: { claude: message } });
  });
  lines.on('close', () => {
    send('COMPLETE', { exitCode: 0 });
    socket.close(1000);
  });
});
