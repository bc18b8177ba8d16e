"""Checks messages.py and login.py, which terminal.py speaks by, against the vectors in docs/protocol."""
import hashlib, json, pathlib
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import login, messages

FOLDER = pathlib.Path(__file__).parents[2] / "docs/protocol"

def refused(read, data, *rest):
    try: read(data, *rest)
    except messages.Untrusted: return True

def flipped(data):
    """`data` with one bit changed, in each byte once."""
    for at in range(len(data)): yield data[:at] + bytes([data[at] ^ 1]) + data[at + 1:]

def check_logins():
    vectors = json.loads((FOLDER / "login-vectors.json").read_text())
    key = Ed25519PrivateKey.from_private_bytes(messages.unb64(vectors["keys"]["private_key"]))
    assert messages.b64(key.public_key().public_bytes_raw()) == vectors["keys"]["public_key"]
    for v in vectors["logins"]:
        assert urlsplit(v["server"]).hostname == v["host"]
        signed = login.message(messages.unb64(v["challenge"]), v["user"], v["client_id"], v["host"])
        assert (signed.hex(), messages.b64(key.sign(signed))) == (v["message_hex"], v["signature"])
    print("good:", len(vectors["logins"]), "logins")

def main():
    check_logins()
    vectors, un = json.loads((FOLDER / "encrypt-on-demand-vectors.json").read_text()), bytes.fromhex
    for v in vectors["command_keys"]:
        assert messages.derive(un(v["proof_key"]), b"command").hex() == v["command_key"]
    for v in vectors["instructions"]:
        data, keys = un(v["bytes"]), {un(v["key_id"]): un(v["public_key"])}
        assert hashlib.sha256(un(v["public_key"])).hexdigest()[:8] == v["key_id"]
        expected = {"to": v["to"], "seq": int(v["sequence"]), "expires_at": int(v["expires_at"]), "terminal": v["terminal"]}
        assert messages.read_instruction(data, keys) == expected
        for cut in range(len(data)): assert refused(messages.read_instruction, data[:cut], keys)
        for bad in flipped(data): assert refused(messages.read_instruction, bad, keys)
    for v in vectors["queries"]:
        assert messages.write_query(v["understands_disconnect"], v["keep_alive_secs"]).hex() == v["bytes"]
    for v in vectors["commands"]:
        data, link = un(v["bytes"]), (messages.derive(un(v["proof_key"]), b"command"), v["terminal"], v["transport"])
        read = messages.read_command(data, *link)
        assert (read["sequence"], read["expires_at"]) == (int(v["sequence"]), int(v["expires_at"]))
        assert read["body"].hex() == v["body"] and all(read[name] == v[name] for name in ("id", "class", "must_encrypt"))
        for cut in range(len(data)): assert refused(messages.read_command, data[:cut], *link)
        for bad in flipped(data): assert refused(messages.read_command, bad, *link)
    for v in vectors["results"]:
        link = (messages.derive(un(v["proof_key"]), b"command"), v["terminal"], v["transport"])
        assert messages.write_result(*link, v["id"], v["outcome"], un(v["body"])).hex() == v["bytes"]
    print("good:", ", ".join(f"{len(rows)} {name}" for name, rows in vectors.items() if name != "about"))

if __name__ == "__main__": main()
