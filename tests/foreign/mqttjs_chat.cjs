// mqtt.js over secure WebSocket, MQTT 5: prints `TOPIC BODY` for each message and answers it once.
// Arguments: host port ca client-id token-id bearer user
const fs = require("fs");
const mqtt = require("mqtt");

const [host, port, ca, clientId, username, password, user] = process.argv.slice(2);
const client = mqtt.connect(`wss://${host}:${port}/mqtt`, {
  protocolVersion: 5, clientId, username, password, ca: fs.readFileSync(ca), reconnectPeriod: 0,
});

client.on("error", (error) => { console.error(String(error)); process.exit(1); });
client.on("connect", () => client.subscribe(`im/u/${user}/+`, { qos: 1 }, (error, granted) => {
  console.log(error ? `refused ${error}` : `ready ${granted.map((g) => g.qos)}`);
}));
client.on("message", (topic, payload) => {
  const body = payload.toString();
  console.log(`${topic} ${body}`);
  if (body.startsWith("hello")) {
    const sender = topic.split("/")[3];
    client.publish(`im/u/${sender}/${user}`, `${user} got: ${body}`, { qos: 1 });
    client.publish(`im/u/maud/${user}`, "from mqtt.js", { qos: 1 });
  }
});
