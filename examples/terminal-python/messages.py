"""The messages of docs/protocol/encrypt-on-demand.md, byte by byte, and the rule for instructions."""
import base64, hashlib, hmac, struct

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

OUTCOMES = ["acknowledged", "done", "failed", "unknown", "expired"]

def b64(data): return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
def unb64(text): return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
def mac(key, data): return hmac.new(key, data, hashlib.sha256).digest()
def derive(proof_key, info): return mac(mac(bytes(32), proof_key), info + b"\x01")  # HKDF, 32 bytes
def fields(*parts): return b"".join(struct.pack(">I", len(part)) + part for part in parts)
def bound(label, terminal, transport, data): return label + fields(terminal.encode(), transport.encode()) + data

class Untrusted(Exception):
    """Not a message to believe; says why."""

class Reader:
    def __init__(self, data, kind):
        self.data, self.at = data, 2
        if data[:2] != bytes([1, kind]): raise Untrusted("malformed")
    def take(self, count):
        self.at += count
        if self.at > len(self.data): raise Untrusted("malformed")
        return self.data[self.at - count:self.at]
    def number(self, size): return int.from_bytes(self.take(size), "big")
    def text(self):
        try: return self.take(self.number(1)).decode()
        except UnicodeDecodeError: raise Untrusted("malformed")
    def rest(self, size):
        if len(self.data) - self.at != size: raise Untrusted("malformed")
        return self.data[:self.at], self.data[self.at:]

def read_instruction(data, keys):
    """`keys`: public key by key id, both bytes."""
    reader = Reader(data, 1)
    key_id, to, seq, expires_at = reader.take(4), reader.number(1), reader.number(8), reader.number(8)
    reader.take(16)  # the nonce
    terminal = reader.text()
    signed, signature = reader.rest(64)
    if to > 1: raise Untrusted("malformed")
    if key_id not in keys: raise Untrusted("unknown-key")
    try: Ed25519PublicKey.from_public_bytes(keys[key_id]).verify(signature, b"postern instruction" + signed)
    except (InvalidSignature, ValueError): raise Untrusted("forged")
    return {"to": ["plain", "tls"][to], "seq": seq, "expires_at": expires_at, "terminal": terminal}

def read_command(data, key, terminal, transport):
    reader = Reader(data, 2)
    flags, id, sequence, expires_at = reader.number(1), reader.take(16).hex(), reader.number(8), reader.number(8)
    name, body = reader.text(), reader.take(reader.number(4))
    covered, given = reader.rest(32)
    if flags > 1: raise Untrusted("malformed")
    ours = mac(key, bound(b"postern command", terminal, transport, covered))
    if not hmac.compare_digest(ours, given): raise Untrusted("forged")
    return {"id": id, "must_encrypt": flags == 1, "sequence": sequence, "expires_at": expires_at,
            "class": name, "body": body}

def write_query(flags, keep_alive_secs): return struct.pack(">BBBH", 1, 3, flags, keep_alive_secs)

def write_result(key, terminal, transport, id, outcome, body):
    data = b"\x01\x04" + bytes.fromhex(id) + bytes([OUTCOMES.index(outcome)]) + fields(body)
    return data + mac(key, bound(b"postern result", terminal, transport, data))

def why_stay(told, terminal, transport, last_sequence, busy, now_ms):
    """Why an instruction is not followed, or None."""
    if told["terminal"] != terminal: return "other-terminal"
    if told["expires_at"] <= now_ms: return "expired"
    if told["seq"] <= last_sequence: return "old-sequence"
    if told["to"] == transport: return "already-there" if transport == "tls" else "not-on-tls"
    return "busy" if told["to"] == "plain" and busy else None
