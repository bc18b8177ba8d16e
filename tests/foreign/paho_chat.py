"""paho-mqtt over TLS, MQTT 5: prints `TOPIC BODY` for each message and answers it once.

Arguments: host port ca client-id token-id bearer user
"""

import sys

import paho.mqtt.client as mqtt

host, port, ca, client_id, token_id, bearer, user = sys.argv[1:]


def say(line):
    print(line, flush=True)


def connected(client, _data, _flags, reason, _properties):
    if reason.is_failure:
        sys.exit(f"refused: {reason}")
    client.subscribe(f"im/u/{user}/+", qos=1)


def subscribed(client, _data, _mid, reasons, _properties):
    say(f"ready {reasons}")


def message(client, _data, got):
    body = got.payload.decode()
    say(f"{got.topic} {body}")
    if body.startswith("hello"):
        sender = got.topic.split("/")[3]
        client.publish(f"im/u/{sender}/{user}", f"{user} got: {body}", qos=1)
        client.publish(f"im/u/jo/{user}", "from paho", qos=1)


client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=client_id, protocol=mqtt.MQTTv5)
client.username_pw_set(token_id, bearer)
client.tls_set(ca_certs=ca)
client.on_connect, client.on_subscribe, client.on_message = connected, subscribed, message
client.connect(host, int(port))
client.loop_forever(retry_first_connection=False)
