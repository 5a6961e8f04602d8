"""Requests of Label Studio, each with something wrong in it: a value, a type, a byte, a header or a path."""

import copy
import json

from annotation_events import deleted, event
from label_studio_requests import CONFIG, PROJECT, batch, click, interactive, rectangle, task

_NUMBERS = {"@BIG@": "1" + "0" * 400, "@NAN@": "NaN", "@INFINITY@": "Infinity", "@TINY@": "-1e-400", "@HUGE@": "1e400"}
"""Numbers that `json.dumps` does not write."""

_VALUES = (
    *_NUMBERS,
    *(None, True, False, 0, -1, 1, 1e308, -1e308, 2**63, 10**18, "", " ", "x" * 100_000, "\0", "\ud800", "\r\nX: y"),
    *([], [[]], {}, {"id": "abc"}, [None] * 1000, ["x"] * 1000, "../../../etc/passwd", "file:///etc/passwd"),
    *("http://169.254.169.254/latest", "http://[::1]:22/", "data:image/png;base64,AAAA", "data:,", "%00%ff", "²"),
)
_PATHS = (
    "/predict/",
    "//predict",
    "/predict?x=%00",
    "/PREDICT",
    "/../predict",
    "/%2e%2e/setup",
    "/metrics/../setup",
    "/ü",
)
_HOSTS = ("x/?", "a b", "", "[", "x" * 5000, "evil.example", "127.0.0.1:99999", "user@host", "x\\y")
_TYPES = ("text/plain", "application/xml", "multipart/form-data; boundary=x", "application/json; charset=utf-16", "")


def mutated(rng):
    """Return a hostile request: method, path, body and headers."""
    # Rarely, because a batch that stays valid takes seconds of all cores.
    make = _batch if rng.random() < 0.01 else _SEEDS[int(rng.integers(len(_SEEDS)))]
    path, message = make()
    headers = {}
    for _ in range(int(rng.geometric(0.6))):
        message = _mutate_value(rng, message)
    body = _dump(message)
    kind = rng.random()
    if kind < 0.08:
        body = _mutate_bytes(rng, body)
    elif kind < 0.11:
        headers["Host"] = _pick(rng, _HOSTS)
    elif kind < 0.14:
        headers["Content-Type"] = _pick(rng, _TYPES)
    elif kind < 0.16:
        headers["Authorization"] = _pick(rng, ("Basic !!", "Basic " + "A" * 9999, "Bearer x", "basic"))
    elif kind < 0.19:
        path = _pick(rng, _PATHS)
    method = _pick(rng, ("GET", "PUT", "DELETE", "TRACE", "X")) if rng.random() < 0.02 else "POST"
    return method, path, body, headers


def deep(levels):
    """Return JSON that is nested as many levels deep."""
    return b'{"tasks":' + b"[" * levels + b"]" * levels + b"}"


_SEEDS = (
    lambda: ("/predict", interactive(click(25, 15))),
    lambda: ("/predict", interactive(click(25, 15), click(45, 15, positive=False))),
    lambda: ("/predict", interactive(rectangle(18, 8, 32, 22))),
    lambda: ("/setup", {"project": PROJECT, "schema": CONFIG, "hostname": "http://127.0.0.1:9", "access_token": "t"}),
    lambda: ("/webhook", event("ANNOTATION_CREATED")),
    lambda: ("/webhook", event("ANNOTATION_UPDATED", second=5)),
    lambda: ("/webhook", deleted(1, 2)),
    lambda: ("/validate", {"config": CONFIG}),
    lambda: ("/versions", {}),
)


def _batch():
    return "/predict", batch(task())


def _mutate_value(rng, message):
    """Replace, delete or repeat one part of a message, chosen at random."""
    message = copy.deepcopy(message)
    places = list(_places(message))
    if not places:
        return _pick(rng, _VALUES)
    holder, key = places[int(rng.integers(len(places)))]
    what = rng.random()
    if what < 0.12:
        del holder[key]
    elif what < 0.2 and isinstance(holder, list):
        holder.extend([holder[key]] * int(rng.integers(1, 200)))
    else:
        holder[key] = _pick(rng, _VALUES)
    return message


def _places(value):
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        # Long run lengths would otherwise get nearly all mutations.
        if isinstance(value, list) and key > 8:
            return
        yield value, key
        yield from _places(inner)


def _mutate_bytes(rng, body):
    body = bytearray(body)
    if rng.random() < 0.5:
        return bytes(body[: int(rng.integers(len(body) + 1))])
    for _ in range(int(rng.integers(1, 6))):
        body[int(rng.integers(len(body)))] = int(rng.integers(256))
    return bytes(body)


def _dump(message):
    text = json.dumps(message)
    for name, number in _NUMBERS.items():
        text = text.replace(f'"{name}"', number)
    return text.encode("utf-8", "surrogatepass")


def _pick(rng, options):
    return options[int(rng.integers(len(options)))]
