"""A PDF that opens with its password only (standard security handler, revision 2), the same bytes for the same input.

The PDF library encrypts too, but with random keys; a corpus that is the same for a seed needs this by hand.
"""

import hashlib

_PADDING = bytes.fromhex("28bf4e5e4e758a4164004e56fffa01082e2e00b6d0683e802f0ca9fe6453697a")
_PERMISSIONS = -4


def locked_pdf(text: str, password: str, identity: bytes) -> bytes:
    """One page that says `text`, locked with `password`; `identity` is the file's 16-byte ID."""
    padded = (password.encode() + _PADDING)[:32]
    owner = _rc4(_md5(padded)[:5], padded)
    key = _md5(padded + owner + _PERMISSIONS.to_bytes(4, "little", signed=True) + identity)[:5]
    content = f"BT /F 12 Tf 72 700 Td ({text}) Tj ET".encode()
    content = _rc4(_md5(key + (4).to_bytes(3, "little") + bytes(2))[:10], content)
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Count 1/Kids[3 0 R]>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents 4 0 R/Resources<</Font<</F 5 0 R>>>>>>",
        b"<</Length %d>>\nstream\n%b\nendstream" % (len(content), content),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    lock = f"/Filter/Standard/V 1/R 2/P {_PERMISSIONS}/O<{owner.hex()}>/U<{_rc4(key, _PADDING).hex()}>"
    return assemble(objects, f"/Encrypt<<{lock}>>/ID[<{identity.hex()}><{identity.hex()}>]")


def assemble(objects: list[bytes], trailer: str = "", comment: str = "") -> bytes:
    """A PDF of the given objects, numbered from 1, the first of them the catalog."""
    out = f"%PDF-1.7\n% {comment}\n".encode()
    places = []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%b\nendobj\n" % (number, body)
    size = len(objects) + 1
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    tail = f"trailer\n<</Size {size}/Root 1 0 R{trailer}>>\nstartxref\n{len(out)}\n%%EOF\n"
    return out + f"xref\n0 {size}\n0000000000 65535 f \n{table}{tail}".encode()


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()


def _rc4(key: bytes, data: bytes) -> bytes:
    state = list(range(256))
    j = 0
    for i in range(256):
        j = (j + state[i] + key[i % len(key)]) % 256
        state[i], state[j] = state[j], state[i]
    out = bytearray()
    i = j = 0
    for byte in data:
        i = (i + 1) % 256
        j = (j + state[i]) % 256
        state[i], state[j] = state[j], state[i]
        out.append(byte ^ state[(state[i] + state[j]) % 256])
    return bytes(out)
