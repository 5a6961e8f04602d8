"""CPU seconds of a lone first click, beside the plain pattern: `python tests/benchmarks/first_click.py`.

Each server gets a click on a new image over HTTP, as Label Studio sends it: SAM Inspect; the pattern that backends have
in common (fetch to a file, Pillow, whole pixels, the flow of `SamPredictor`, the SDK's RLE) with the same weights; and,
with `--before <folder>`, SAM Inspect of another checkout. The CPU seconds are those of the server's process until it
rests, so they include what is done after the answer; the highest memory is its own.
"""

import argparse
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

# ruff: noqa: E402 - the path comes first.
sys.path[0] = str(Path(__file__).resolve().parents[1])

import cv2
import numpy as np
import requests
from PIL import Image
from rich.console import Console
from rich.progress import track
from rich.table import Table

from label_studio_requests import HEIGHT, WIDTH, click, interactive
from loopback import serving

SIZES = {1: (864, 1152), 6: (2112, 2848), 12: (3000, 4000), 20: (3640, 5460), 48: (6000, 8000)}
ROOT = Path(__file__).resolve().parents[2]
PLAIN = "plain pattern"
PATIENCE = 300
_TICKS = os.sysconf("SC_CLK_TCK")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megapixels", type=int, nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--formats", nargs="+", default=["JPEG", "PNG"])
    parser.add_argument("--rounds", type=int, default=3, help="images of a kind; the median counts (default: 3)")
    parser.add_argument("--before", type=Path, help="another checkout to measure beside this one")
    parser.add_argument("--serve-plain", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve_plain:
        serve_plain()
        return
    servers = {PLAIN: None} | ({"before": options.before} if options.before else {}) | {"now": ROOT}
    table = Table("image", *(f"{name}\nCPU s | wall s | MiB" for name in servers), "plain / now, CPU")
    kinds = [(form, megapixels) for form in options.formats for megapixels in options.megapixels]
    spent = {}
    for name, checkout in servers.items():
        with serving() as images, server(checkout) as (url, pid):
            ask(url, images, *scene("JPEG", 1, 99), "first")
            for kind in track(kinds, description=f"Clicking: {name}", transient=True):
                settled(pid)
                # From here on, the highest memory is counted anew.
                Path(f"/proc/{pid}/clear_refs").write_text("5")
                runs = []
                for seed in range(options.rounds):
                    file, prompt = scene(*kind, seed)
                    before = settled(pid)
                    wall = ask(url, images, file, prompt, f"{kind[0]}{kind[1]}-{seed}")
                    runs.append((settled(pid) - before, wall))
                spent[name, kind] = (*np.median(runs, axis=0), highest_mebibytes(pid))
    for kind in kinds:
        cells = ["{:.2f} | {:.2f} | {:.0f}".format(*spent[name, kind]) for name in servers]
        table.add_row(f"{kind[0]}, {kind[1]} MP", *cells, f"{spent[PLAIN, kind][0] / spent['now', kind][0]:.1f}")
    Console(width=120).print(table)


def scene(form, megapixels, seed):
    """Return a file of a grained surface with a dark scratch, and a click on the scratch."""
    height, width = SIZES[megapixels]
    rng = np.random.default_rng(seed)
    noise = rng.normal(0, 12, (height // 4, width // 4)).astype(np.float32)
    grain = cv2.resize(noise, (width, height), interpolation=cv2.INTER_LINEAR)
    pixels = grain + 140
    x, y = int(width * rng.uniform(0.2, 0.6)), int(height * rng.uniform(0.2, 0.8))
    pixels[y : y + height // 60, x : x + width // 12] -= 70
    # Not the same in every channel, so that no format stores grey levels.
    coloured = np.stack([pixels + 4, pixels, pixels - 4], 2).clip(0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    options = {"quality": 92} if form == "JPEG" else {"compress_level": 1}
    Image.fromarray(coloured).save(buffer, form, **options)
    region = click(WIDTH * (x + width / 24) / width, HEIGHT * (y + height / 120) / height)
    return buffer.getvalue(), region | {"original_width": width, "original_height": height}


def ask(url, images, file, prompt, number):
    images.routes[f"/{number}"] = file
    body = interactive(prompt, image=f"{images.url}/{number}")
    started = time.perf_counter()
    response = requests.post(f"{url}/predict", json=body, timeout=PATIENCE)
    seconds = time.perf_counter() - started
    response.raise_for_status()
    assert response.json()["results"][0]["result"], "the click was answered with nothing"
    return seconds


@contextmanager
def server(checkout):
    """Start a server, of a checkout or the plain one; yield its address and process id."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {name: text for name, text in os.environ.items() if not name.startswith("SAM_INSPECT_")}
        environment |= {"SAM_INSPECT_ALLOW_HOST": "127.0.0.1", "SAM_INSPECT_HOME": f"{folder}/home"}
        environment |= {"SAM_INSPECT_CACHE": f"{folder}/cache"}
        root = (checkout or ROOT).resolve()
        environment["PYTHONPATH"] = os.pathsep.join(str(root / part) for part in ("backend", "evaluation", "cli"))
        command = [sys.executable, "-m", "sam_inspect", "serve", "--host", "127.0.0.1", "--port", "0"]
        if checkout is None:
            command = [sys.executable, __file__, "--serve-plain"]
        process = subprocess.Popen(command, env=environment, cwd=folder, text=True, stderr=subprocess.PIPE)
        try:
            url = ""
            for line in process.stderr:
                address = re.search(r"http://127\.0\.0\.1:\d+", line)
                url = address[0] if address else url
                if "is ready" in line:
                    break
            else:
                sys.exit(f"The server did not start: {line}")
            threading.Thread(target=process.stderr.read, daemon=True).start()
            yield url, process.pid
        finally:
            process.terminate()
            process.wait(PATIENCE)


def settled(pid):
    """Return the CPU seconds that a process has used, once it uses no more."""
    used, since = -1.0, 0
    while since < 4:
        now = cpu_seconds(pid)
        since = since + 1 if now <= used + 1 / _TICKS else 0
        used = max(used, now) if since else now
        time.sleep(0.15)
    return cpu_seconds(pid)


def cpu_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def highest_mebibytes(pid):
    return int(re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) / 1024


def serve_plain():
    """Answer clicks as the common pattern does."""
    from label_studio_sdk.converter import brush

    from sam_backend.segmenters import Embedding, Prompt
    from sam_backend.segmenters.nano.segmenter import NanoSegmenter

    model = NanoSegmenter()

    def answer(request):
        drawn = request["params"]["context"]["result"][0]
        content = requests.get(request["tasks"][0]["data"]["image"], timeout=PATIENCE).content
        with tempfile.NamedTemporaryFile() as file:
            file.write(content)
            file.flush()
            image = np.array(Image.open(file.name).convert("RGB"))
        height, width = image.shape[:2]
        # What the predictor keeps after `set_image`.
        embedding = model.encode(image)
        rows, columns = embedding.arrays["input_size"].tolist()
        point = np.array([[drawn["value"]["x"] * columns / 100, drawn["value"]["y"] * rows / 100]], np.float32)
        prompt = Prompt(point, np.array([1]))
        candidates = model.decode(Embedding(embedding.arrays, (rows, columns)), [prompt], multimask=True)[0]
        masks = []
        for low in candidates.logits:
            padded = cv2.resize(low, (512, 512), interpolation=cv2.INTER_LINEAR)
            masks.append(cv2.resize(padded[:rows, :columns], (width, height), interpolation=cv2.INTER_LINEAR) > 0)
        rle = brush.mask2rle(masks[candidates.best].astype(np.uint8) * 255)
        value = {"format": "rle", "rle": rle, "brushlabels": drawn["value"]["keypointlabels"]}
        return {"results": [{"result": [{"id": "a", "type": "brushlabels", "value": value}], "score": 0.5}]}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            body = json.dumps(answer(request)).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args):
            pass

    plain = HTTPServer(("127.0.0.1", 0), Handler)
    print(f"http://127.0.0.1:{plain.server_address[1]} is ready", file=sys.stderr, flush=True)
    plain.serve_forever()


if __name__ == "__main__":
    main()
