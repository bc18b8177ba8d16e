"""Checks messages.py, which terminal.py speaks by, against docs/protocol/encrypt-on-demand-vectors.json."""
import hashlib, json, pathlib, sys

import messages

FILE = pathlib.Path(__file__).parents[2] / "docs/protocol/encrypt-on-demand-vectors.json"

def refused(read, data, *rest):
    try: read(data, *rest)
    except messages.Untrusted: return True

def flipped(data):
    """`data` with one bit changed, in each byte once."""
    for at in range(len(data)): yield data[:at] + bytes([data[at] ^ 1]) + data[at + 1:]

def main():
    vectors, un = json.loads((pathlib.Path(sys.argv[1]) if sys.argv[1:] else FILE).read_text()), bytes.fromhex
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
