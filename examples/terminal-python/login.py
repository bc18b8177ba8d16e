"""What a terminal is provisioned with: whom it trusts, and the key pair or password that it logs in by."""
import json, os, ssl, urllib.request
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from disk import replace
from messages import b64, fields, unb64

class Server:
    """The login server: TLS 1.2 or newer, by the certificates in `ca` and for the names in the server's."""
    def __init__(self, url, ca):
        self.url, self.tls = url.rstrip("/"), ssl.create_default_context(cafile=ca)
        self.tls.minimum_version = ssl.TLSVersion.TLSv1_2  # Python 3.9 takes older ones where OpenSSL does
    def ask(self, path, body=None, **headers):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json", **headers})
        with urllib.request.urlopen(request, timeout=30, context=self.tls) as answer: return json.load(answer)

def enrol(state):
    """Makes the key pair if there is none: the private key, 32 bytes in base64url, never leaves the terminal."""
    file = os.path.join(state, "key")
    if not os.path.exists(file):
        os.makedirs(state, exist_ok=True)
        replace(file, b64(os.urandom(32)).encode() + b"\n")
    return b64(read(file).public_key().public_bytes_raw())

def read(file):
    if os.stat(file).st_mode & 0o077: raise OSError(f"{file}: others can read it; run chmod 600, or enrol anew without it")
    try: return Ed25519PrivateKey.from_private_bytes(unb64(open(file).read().strip()))
    except ValueError: raise OSError(f"{file}: is not a key of 32 bytes in base64url") from None

def message(challenge, user, client_id, host):
    """What is signed; `host` is the name or address by which the server is called."""
    names = [name.encode() for name in (user, client_id, host.lower())]
    return b"postern login" + fields(b"\x01", challenge, *names)

def log_in(server, args):
    """By key when there is one, else by password."""
    who, file = {"user": args.user, "client_id": args.client_id}, os.path.join(args.state, "key")
    if os.path.exists(file):
        key, challenge = read(file), server.ask("/v1/login/challenge")["challenge"]
        signed = message(unb64(challenge), args.user, args.client_id, urlsplit(server.url).hostname)
        return server.ask("/v1/login", dict(who, challenge=challenge, signature=b64(key.sign(signed))))
    if not args.password_file: raise SystemExit(f"error: no credential: {file} is not there; start with --enrol once")
    return server.ask("/v1/login", dict(who, password=open(args.password_file).readline().rstrip("\r\n")))
