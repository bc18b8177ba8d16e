"""What outlives a crash: files replaced as a whole, and the journal of commands."""
import json, os

DAY_MS = 24 * 3600 * 1000

def sync_folder(path):
    folder = os.open(os.path.dirname(path), os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)

def replace(path, data):
    """New file of mode 0600, synced, renamed over the old one: a crash leaves either."""
    with open(path + ".new", "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(data), file.flush(), os.fsync(file.fileno())
    os.rename(path + ".new", path)
    sync_folder(path)

class Journal:
    """Commands begun, how they ended, whether that was heard: a line each, synced before the call returns."""
    def __init__(self, path, now_ms):
        self.entries = {}
        old = open(path, "rb").read() if os.path.exists(path) else b""
        for line in old[:old.rfind(b"\n") + 1].splitlines():  # a torn last line was never acted upon
            self.apply(json.loads(line))
        self.entries = {id: e for id, e in self.entries.items() if e["expires_at"] + DAY_MS >= now_ms}
        replace(path, b"".join(json.dumps(dict(e, id=id)).encode() + b"\n" for id, e in self.entries.items()))
        self.file = open(path, "ab")
    def apply(self, line): self.entries.setdefault(line["id"], {}).update({k: v for k, v in line.items() if k != "id"})
    def write(self, id, **what):
        self.file.write(json.dumps(dict(what, id=id)).encode() + b"\n")
        self.file.flush(), os.fsync(self.file.fileno())
        self.apply(dict(what, id=id))
    def unreported(self): return [id for id, entry in self.entries.items() if not entry.get("reported")]
