"""A server that speaks as much of Google Cloud Storage as reading takes: `python -m tests.pipelines.gcs_server`.

It runs in a process of its own, since Arrow's client keeps the interpreter's lock while it waits.
"""

import io
import json
import re
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit


def archive() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as opened:
        opened.writestr("x.pdf", b"%PDF- in a zip")
    return out.getvalue()


OBJECTS = {"in/a.pdf": b"%PDF- alone", "in/b.zip": archive()}
TIME = "2026-01-01T00:00:00Z"


def described(name: str) -> dict[str, Any]:
    sizes = {"size": str(len(OBJECTS[name])), "generation": "1", "metageneration": "1"}
    return {"kind": "storage#object", "name": name, "bucket": "docs", "timeCreated": TIME, "updated": TIME, **sizes}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query, path = parse_qs(parts.query), unquote(parts.path)
        status, data, headers = 404, b'{"error": {"code": 404, "message": "not found"}}', dict[str, str]()
        name = re.sub(r"^(/download)?/storage/v1/b/docs/o/|^/docs/", "", path)
        if path == "/storage/v1/b/docs/o":
            found = [described(name) for name in OBJECTS if name.startswith(query.get("prefix", [""])[0])]
            status, data = 200, json.dumps({"kind": "storage#objects", "items": found}).encode()
        elif name in OBJECTS and path.startswith("/storage") and query.get("alt") != ["media"]:
            status, data = 200, json.dumps(described(name)).encode()
        elif name in OBJECTS:
            status, data = 200, OBJECTS[name]
            headers = {"x-goog-generation": "1", "x-goog-stored-content-length": str(len(data))}
            wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            if wanted:
                first, last = int(wanted[1]), min(int(wanted[2] or len(data)), len(data) - 1)
                headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
                status, data = 206, data[first : last + 1]
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(data)), "Content-Type": "application/json"}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_port, flush=True)
    server.serve_forever()
