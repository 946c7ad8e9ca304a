"""Decompression of response bodies, up to a maximum size."""

from __future__ import annotations

import zlib

MAX_BODY_BYTES = 32 * 1024 * 1024
"""Maximum size of a response body, in bytes, compressed or not. Twilio's largest pages have a tenth of it."""


class BodyTooLarge(Exception):
    """A body that is larger than the maximum."""


class BodyUndecodable(Exception):
    """A body that is not in the encoding that its header names."""


def decode_body(body: bytes, content_encoding: str | None, maximum: int = MAX_BODY_BYTES) -> bytes:
    """Return a body without its content encodings.

    :param content_encoding: Value of the Content-Encoding header. None or empty for a body that is not encoded.
    :param maximum: Maximum size of the result, in bytes.
    :raises BodyTooLarge: If the result would be larger than the maximum.
    :raises BodyUndecodable: If the body is not in this encoding, or the encoding is unknown.
    """
    names = [name.strip().lower() for name in (content_encoding or "").split(",")]
    for name in reversed([name for name in names if name not in ("", "identity")]):
        if name in ("gzip", "x-gzip"):
            body = _inflate(body, 16 + zlib.MAX_WBITS, maximum)
        elif name == "deflate":  # Some servers send it without the zlib header.
            has_header = len(body) >= 2 and body[0] & 0x0F == 8 and (body[0] * 256 + body[1]) % 31 == 0
            body = _inflate(body, zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS, maximum)
        else:
            raise BodyUndecodable(name)
    return body


def _inflate(body: bytes, window_bits: int, maximum: int) -> bytes:
    """Decompress all members of a compressed body."""
    inflated = bytearray()
    while body:
        decompressor = zlib.decompressobj(window_bits)
        try:
            inflated += decompressor.decompress(body, maximum + 1 - len(inflated))
        except zlib.error as error:
            raise BodyUndecodable(str(error)) from None
        if len(inflated) > maximum:
            raise BodyTooLarge
        if not decompressor.eof:
            raise BodyUndecodable("truncated")
        body = decompressor.unused_data.lstrip(b"\0")
    return bytes(inflated)
