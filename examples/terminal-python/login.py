"""The login server, and the key pair or password that a terminal logs in by."""
import json, os, ssl, urllib.request
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from disk import replace
from messages import b64, fields, unb64

def enrol(state):
    """Makes the key pair if there is none: the private key, 32 bytes in base64url, never leaves the terminal."""
    file = os.path.join(state, "key")
    if not os.path.exists(file):
        os.makedirs(state, exist_ok=True)
        replace(file, b64(os.urandom(32)).encode() + b"\n")
    return b64(read(file).public_key().public_bytes_raw())

def read(file):
    if os.stat(file).st_mode & 0o077: raise SystemExit(f"error: {file}: others can read it; run chmod 600, or enrol anew without it")
    try: return Ed25519PrivateKey.from_private_bytes(unb64(open(file).read().strip()))
    except ValueError: raise SystemExit(f"error: {file}: is not a key of 32 bytes in base64url") from None

def message(challenge, user, client_id, host):
    """What is signed; `host` is the name or address by which the server is called."""
    names = [name.encode() for name in (user, client_id, host.lower())]
    return b"postern login" + fields(b"\x01", challenge, *names)

class Server:
    """Spoken to by TLS 1.2 or newer, by the certificates that are trusted and for the names in them."""
    def __init__(self, args):
        self.args, self.url, file = args, args.server.rstrip("/"), os.path.join(args.state, "key")
        self.tls = ssl.create_default_context(cafile=args.ca)
        self.tls.minimum_version = ssl.TLSVersion.TLSv1_2  # Python 3.9 takes older ones where OpenSSL does
        self.key = read(file) if os.path.exists(file) else None
        if not (self.key or args.password_file): raise SystemExit(f"error: no credential: {file} is not there; start with --enrol once")
    def ask(self, path, body=None, **headers):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json", **headers})
        with urllib.request.urlopen(request, timeout=30, context=self.tls) as answer: return json.load(answer)
    def log_in(self):
        """By key when there is one, else by password."""
        who = {"user": self.args.user, "client_id": self.args.client_id}
        if not self.key: return self.ask("/v1/login", dict(who, password=open(self.args.password_file).readline().rstrip("\r\n")))
        challenge = self.ask("/v1/login/challenge")["challenge"]
        signed = message(unb64(challenge), *who.values(), urlsplit(self.url).hostname)
        return self.ask("/v1/login", dict(who, challenge=challenge, signature=b64(self.key.sign(signed))))
