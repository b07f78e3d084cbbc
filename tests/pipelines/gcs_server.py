"""A server that speaks as much of Google Cloud Storage as we need: `python -m tests.pipelines.gcs_server`.

It runs in a process of its own, since Arrow's client keeps the interpreter's lock while it waits.
"""

import io
import json
import re
import time
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
UPLOADS: dict[str, tuple[str, bytearray]] = {}
PLACE = "/storage/v1/b/docs/o"
MISSING = b'{"error": {"code": 404, "message": "not found"}}'


def described(name: str) -> dict[str, Any]:
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    sizes = {"size": str(len(OBJECTS[name])), "generation": "1", "metageneration": "1"}
    return {"kind": "storage#object", "name": name, "bucket": "docs", "timeCreated": now, "updated": now, **sizes}


def listed(query: dict[str, list[str]]) -> bytes:
    prefix, delimiter = query.get("prefix", [""])[0], query.get("delimiter", [""])[0]
    items, prefixes = [], set()
    for name in sorted(OBJECTS):
        if name.startswith(prefix):
            rest = name[len(prefix) :]
            if delimiter and delimiter in rest:
                prefixes.add(prefix + rest.partition(delimiter)[0] + delimiter)
            else:
                items.append(described(name))
    return json.dumps({"kind": "storage#objects", "items": items, "prefixes": sorted(prefixes)}).encode()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query, path = parse_qs(parts.query), unquote(parts.path)
        status, data, headers = 404, MISSING, dict[str, str]()
        name = re.sub(rf"^(/download)?{PLACE}/|^/docs/", "", path)
        if path == PLACE:
            status, data = 200, listed(query)
        elif path == "/storage/v1/b/docs":
            status, data = 200, b'{"kind": "storage#bucket", "name": "docs"}'
        elif name in OBJECTS and path.startswith("/storage") and query.get("alt") != ["media"]:
            status, data = 200, json.dumps(described(name)).encode()
        elif name in OBJECTS:
            status, data = 200, OBJECTS[name]
            headers = {"x-goog-generation": "1", "x-goog-stored-content-length": str(len(data))}
            wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            if wanted and int(wanted[1]) >= len(data):
                status, data = 416, b""
            elif wanted:
                first, last = int(wanted[1]), min(int(wanted[2] or len(data)), len(data) - 1)
                headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
                status, data = 206, data[first : last + 1]
        self.answer(status, data, headers)

    def do_POST(self) -> None:
        parts, body = urlsplit(self.path), self.body()
        query, path = parse_qs(parts.query), unquote(parts.path)
        copied = re.fullmatch(rf"{PLACE}/(.+)/(?:rewriteTo|copyTo)/b/docs/o/(.+)", path)
        if copied and copied[1] in OBJECTS:
            OBJECTS[copied[2]] = OBJECTS[copied[1]]
            size, found = str(len(OBJECTS[copied[2]])), described(copied[2])
            done = {"kind": "storage#rewriteResponse", "done": True, "objectSize": size, "totalBytesRewritten": size}
            self.answer(200, json.dumps({**done, "resource": found} if "/rewriteTo/" in path else found).encode(), {})
        elif path == f"/upload{PLACE}" and query.get("uploadType") == ["resumable"]:
            name = query.get("name", [""])[0] or json.loads(body)["name"]
            key = str(len(UPLOADS))
            UPLOADS[key] = name, bytearray()
            host = self.headers["Host"]
            self.answer(200, b"", {"Location": f"http://{host}/upload{PLACE}?uploadType=resumable&upload_id={key}"})
        elif path == f"/upload{PLACE}":
            name = query.get("name", [""])[0]
            if query.get("uploadType") == ["multipart"]:
                mark = re.search(r"boundary=\"?([^\";]+)", self.headers["Content-Type"])
                assert mark
                about, content = body.split(b"--" + mark[1].encode())[1:3]
                name = name or json.loads(about.split(b"\r\n\r\n", 1)[1])["name"]
                body = content.split(b"\r\n\r\n", 1)[1].removesuffix(b"\r\n")
            OBJECTS[name] = body
            self.answer(200, json.dumps(described(name)).encode(), {})
        else:
            self.answer(404, MISSING, {})

    def do_PUT(self) -> None:
        name, data = UPLOADS[parse_qs(urlsplit(self.path).query)["upload_id"][0]]
        data += self.body()
        if self.headers.get("Content-Range", "").endswith("/*"):
            self.answer(308, b"", {"Range": f"bytes=0-{len(data) - 1}"} if data else {})
        else:
            OBJECTS[name] = bytes(data)
            self.answer(200, json.dumps(described(name)).encode(), {})

    def do_DELETE(self) -> None:
        name = unquote(urlsplit(self.path).path).removeprefix(f"{PLACE}/")
        self.answer(204 if OBJECTS.pop(name, None) is not None else 404, b"", {})

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        whole = bytearray()
        while size := int(self.rfile.readline(), 16):
            whole += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return bytes(whole)

    def answer(self, status: int, data: bytes, headers: dict[str, str]) -> None:
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
