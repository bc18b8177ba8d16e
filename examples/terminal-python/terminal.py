"""A car's door and lamp that speaks docs/protocol/encrypt-on-demand.md: stays on plain TCP, comes in through TLS."""
import argparse, json, os, queue, random, struct, threading, time
from urllib.parse import urlsplit

from paho.mqtt.client import CallbackAPIVersion, Client, MQTTv5

import login
from disk import Journal, replace
from messages import (Untrusted, b64, derive, fields, mac, read_command, read_instruction, unb64, why_stay, write_query,
                      write_result)

LISTENER = {"plain": "tcp", "tls": "tls"}

class Terminal:
    def __init__(self, args):
        os.makedirs(args.state, exist_ok=True)
        self.args, self.server = args, login.Server(args)
        self.path, self.failures, self.door, self.lamp = os.path.join(args.state, "state.json"), 0, "locked", "off"
        self.kept = {"token": None, "counter": 0, "offset": 0, "brokers": [], "instruction_keys": [], "last_sequence": 0}
        if os.path.exists(self.path): self.kept.update(json.load(open(self.path)))
        self.journal = Journal(os.path.join(args.state, "journal.jsonl"), self.now())
    def now(self): return int(time.time() * 1000) + self.kept["offset"]
    def tell(self, event, **what):
        line = json.dumps(dict(event=event, **what)) if self.args.json else " ".join(
            [event, *(f"{k}={v}" for k, v in what.items())])
        print(line, flush=True)
    def keep(self, **what):
        self.kept.update(what)
        replace(self.path, json.dumps(self.kept).encode())
    def take(self, grant):
        """Of a login or a renewal, what it names; the rest stays."""
        new = {name: grant[name] for name in ("brokers", "instruction_keys") if grant.get(name) is not None}
        if "server_time" in grant: new["offset"] = grant["server_time"] - int(time.time() * 1000)
        self.keep(token=grant["token"], counter=grant["token"]["counter"], **new)
    def log_in(self):
        self.take(self.server.log_in())
        self.tell("logged-in", user=self.args.user, instruction_keys=len(self.kept["instruction_keys"]))
    def renew(self, token, happened):
        try: happened.put(("renewed", self.server.ask("/v1/token", {}, Authorization=f"Bearer {token['id']}:{token['bearer']}")))
        except (OSError, ValueError) as error: happened.put(("not-renewed", str(error)))
    def back_off(self):
        self.failures += 1
        wait = self.args.back_off_ms * min(2 ** (self.failures - 1), 64) * random.uniform(0.5, 1)
        self.tell("back-off", ms=int(wait)), time.sleep(wait / 1000)

    def run(self):
        target = "plain"
        while True:
            try:
                if not self.kept["token"] or self.now() >= self.kept["token"]["expires_at"]: self.log_in()
            except (OSError, ValueError) as error:
                self.tell("failed", what="login", why=str(error)), self.back_off()
                continue
            began, self.transport = time.monotonic(), target
            target = self.visit()
            if (time.monotonic() - began) * 1000 > 10 * self.args.back_off_ms: self.failures = 0
            if target is None: target = "plain" if self.kept["token"] or self.failures else self.transport; self.back_off()

    def visit(self):
        """One link, from sign-in to its end. Answers where to go next by instruction, or None."""
        token, transport, happened = self.kept["token"], self.transport, queue.Queue()
        broker = next((b for b in self.kept["brokers"] if b["listener"] == LISTENER[transport]), None)
        if not broker: return self.tell("failed", what=LISTENER[transport], why="no such listener")
        self.keep(counter=self.kept["counter"] + 1)  # on disk before it is anywhere else
        counter, at = struct.pack(">Q", self.kept["counter"]), struct.pack(">Q", self.now())
        names = [n.encode() for n in (token["id"], self.args.client_id, transport, LISTENER[transport])]
        proof = b"\x01" + counter + at + mac(derive(unb64(token["key"]), b"sign-in"), fields(b"\x01", *names, counter, at))
        self.key, self.sent, self.held, self.up = derive(unb64(token["key"]), b"command"), {}, set(), False
        self.client = client = Client(CallbackAPIVersion.VERSION2, self.args.client_id, protocol=MQTTv5,
                                      reconnect_on_failure=False, manual_ack=True)
        client.username_pw_set(token["id"], b64(proof))
        if transport == "tls": client.tls_set_context(self.server.tls)
        client.on_connect = lambda c, u, flags, reason, p: happened.put(("connack", reason))
        client.on_message = lambda c, u, message: happened.put(("message", message))
        client.on_publish = lambda c, u, mid, reason, p: happened.put(("puback", mid, reason))
        client.on_subscribe = lambda c, u, mid, reasons, p: happened.put(("suback", reasons))
        client.on_disconnect = lambda c, u, flags, reason, p: happened.put(("gone", reason, p))
        port = getattr(self.args, LISTENER[transport] + "_port") or broker["port"]
        try: client.connect(broker["host"] or urlsplit(self.args.server).hostname, port, self.args.keep_alive, clean_start=True)
        except (OSError, ValueError) as error: return self.tell("failed", what=LISTENER[transport], why=str(error))
        client.loop_start()
        try: return self.serve(happened)
        finally: client.disconnect(), client.loop_stop()

    def serve(self, happened):
        me, ask_again, pause = self.args.user, None, 4
        while True:
            self.report()
            try: what, *details = happened.get(timeout=None if ask_again is None else max(0, ask_again - time.monotonic()))
            except queue.Empty: what, details = "query", ()
            if what == "connack" and details[0].is_failure:
                if details[0].value in (0x86, 0x87): self.kept["token"] = None
                return self.tell("refused", transport=self.transport, why=str(details[0]))
            if what == "connack":
                self.tell("signed-in", transport=self.transport, resumed=None)
                self.client.subscribe([(f"link/{me}", 1), (f"cmd/{me}/do", 1)])
                if self.transport == "tls":
                    threading.Thread(target=self.renew, args=(self.kept["token"], happened), daemon=True).start()
            if what in ("connack", "query"):
                ask_again, self.up, self.held = None, True, set()
                self.publish("query", "query", write_query(1, self.args.keep_alive))
                self.tell("query-sent", transport=self.transport)
            elif what == "renewed":
                self.take(details[0])
                self.tell("token-renewed", expires_at=details[0]["token"]["expires_at"],
                          instruction_keys=len(self.kept["instruction_keys"]))
            elif what == "not-renewed": self.tell("renewal-failed", why=details[0])
            elif what == "suback" and any(reason.is_failure for reason in details[0]):
                return self.tell("disconnected", transport=self.transport, why="subscription refused")
            elif what == "puback" and self.acknowledged(*details):
                ask_again, pause = time.monotonic() + self.args.back_off_ms * pause / 1000, min(pause * 2, 256)
            elif what == "message" and details[0].topic == f"cmd/{me}/do": self.command(details[0])
            elif what == "message":
                self.client.ack(details[0].mid, details[0].qos)
                to = self.follow(details[0].payload) if details[0].topic == f"link/{me}" else None
                if to: return self.tell("disconnected", transport=self.transport, why="instructed") or to
            elif what == "gone":
                self.tell("disconnected", transport=self.transport, why=str(details[0]))
                told = dict(getattr(details[1], "UserProperty", [])).get("postern-instruction")
                try: return self.follow(unb64(told)) if told else None
                except ValueError: return None

    def follow(self, data):
        keys = {unb64(k["id"]): unb64(k["public_key"]) for k in self.kept["instruction_keys"]}
        told, seq, busy = {}, self.kept["last_sequence"], bool(self.journal.unreported())
        try:
            told = read_instruction(data, keys)
            reason = why_stay(told, self.args.user, self.transport, seq, busy, self.now())
        except Untrusted as error: reason = str(error)
        if not reason: self.keep(last_sequence=told["seq"])
        self.tell("instruction", to=told.get("to"), seq=told.get("seq"), transport=self.transport, followed=not reason, reason=reason)
        return None if reason else told["to"]

    def command(self, message):
        """Journal first, then PUBACK, then the act; no other command meanwhile."""
        told, reason = {}, None
        try: told = read_command(message.payload, self.key, self.args.user, self.transport)
        except Untrusted as error: reason = str(error)
        if not reason and told["must_encrypt"] and self.transport == "plain": reason = "must-encrypt"
        elif not reason:
            id, entry = told["id"], self.journal.entries.get(told["id"])
            if entry: reason = "known"; entry["reported"] = False
            else:
                late = {"outcome": "expired", "body": ""} if told["expires_at"] <= self.now() else {}
                self.journal.write(id, must_encrypt=told["must_encrypt"], expires_at=told["expires_at"], **late)
                reason = "expired" if late else None
        self.client.ack(message.mid, message.qos)
        self.tell("command", id=told.get("id"), **{"class": told.get("class")}, transport=self.transport, executed=not reason,
                  reason=reason)
        if reason: return
        self.send(id, "acknowledged", b"")
        done, text = self.act(told["body"])
        self.journal.write(id, outcome="done" if done else "failed", body=b64(text.encode()))

    def act(self, body):
        time.sleep(self.args.act_ms / 1000)
        if body in (b"unlock", b"lock"): self.door = body.decode() + "ed"
        elif body in (b"lamp on", b"lamp off"): self.lamp = body.decode()[5:]
        elif body != b"status": return False, "no such command"
        self.tell("acted", what=f"door {self.door}, lamp {self.lamp}")
        return True, f"door {self.door}, lamp {self.lamp}"

    def report(self):
        """Sends the results that the server has not taken, after the query: `unknown` where only the beginning is known."""
        for id in self.journal.unreported() if self.up else []:
            entry = self.journal.entries[id]
            outcome = entry.get("outcome", "unknown")
            if (id, outcome) in self.held or (id, outcome) in self.sent.values(): continue
            if not entry["must_encrypt"] or self.transport == "tls": self.send(id, outcome, unb64(entry.get("body", "")))
            else: self.held.add((id, outcome)), self.tell("result-kept", id=id, outcome=outcome)

    def publish(self, topic, what, data): self.sent[self.client.publish(f"cmd/{self.args.user}/{topic}", data, qos=1).mid] = what
    def send(self, id, outcome, body):
        self.publish("result", (id, outcome), write_result(self.key, self.args.user, self.transport, id, outcome, body))
        self.tell("result", id=id, outcome=outcome, transport=self.transport)

    def acknowledged(self, mid, reason):
        """PUBACK. True: query again later."""
        what, taken = self.sent.pop(mid, None), not reason.is_failure
        if what == "query" and taken: self.tell("query-taken", transport=self.transport)
        elif what and what != "query" and (taken or reason.value == 0x87):
            if what[1] != "acknowledged": self.journal.write(what[0], reported=True)
            self.tell("result-reported", id=what[0], outcome=what[1], taken=taken)
        elif what:
            self.held.add(what), self.tell("not-taken", what="query" if what == "query" else "result", why=str(reason))
            return True

def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("server", "ca", "user", "client-id", "state"): parser.add_argument("--" + name, required=True)
    parser.add_argument("--password-file")
    for name, default in (("tcp-port", None), ("tls-port", None), ("back-off-ms", 1000), ("act-ms", 0), ("keep-alive", 60)):
        parser.add_argument("--" + name, type=int, default=default)
    for name in ("json", "enrol"): parser.add_argument("--" + name, action="store_true")
    args = parser.parse_args()
    print(login.enrol(args.state)) if args.enrol else Terminal(args).run()

if __name__ == "__main__": main()
