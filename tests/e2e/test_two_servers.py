"""Two servers on one home and one cache, behind nginx as docs/deploy.md configures it, and a real Label Studio."""

import getpass
import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from ports import own_port
from project_steps import wait_for_examples
from sam_backend.demo.processes import running
from sam_backend.demo.prompting import Prompter
from sam_backend.finetune.versions import Version, Versions
from sam_backend.labelstudio.rle import decode_rle
from sam_backend.masks import mask_iou
from sam_backend.segmenters import nano
from stain_project import SIZE, TAUGHT, accept, check_predictions, open_stains
from waiting import wait_for

ROOT = Path(__file__).parents[2]
_OUR_LOG = "log_format ours '$upstream_addr $request_method $uri $status';"


@dataclass
class Servers:
    """Two servers, their proxy, and what they share."""

    home: Path
    urls: list[str]
    processes: list[subprocess.Popen[bytes]]
    proxy: str
    log: Path

    def answered(self, path):
        """Return which servers answered a path so far, one entry a request."""
        lines = [line.rsplit(" ", 3) for line in self.log.read_text().splitlines()]
        return [addresses.split(", ")[-1] for addresses, _, uri, _ in lines if uri == path]


def _nginx(folder, port, ports):
    """Write the configuration of docs/deploy.md for ports of this machine; return the command of nginx."""
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("nginx is not installed; end-to-end tests must run here")
        pytest.skip("nginx is not installed; run make setup")
    documented = next(
        block
        for block in re.findall(r"```nginx\n(.*?)```", (ROOT / "docs" / "deploy.md").read_text(), re.DOTALL)
        if "upstream" in block
    )
    site = documented.replace("listen 9090", f"listen 127.0.0.1:{port}")
    for address, own in zip(("10.0.0.11:9090", "10.0.0.12:9090"), ports, strict=True):
        site = site.replace(address, f"127.0.0.1:{own}")
    places = "".join(
        f"{name}_temp_path {folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    own = f"{_OUR_LOG} access_log {folder}/access.log ours; {places}"
    # As root, nginx would give its workers to a user who may not enter the folders of tests.
    config = f"user {getpass.getuser()}; daemon off; pid {folder}/nginx.pid; events {{}} http {{ {own}\n{site} }}"
    (folder / "nginx.conf").write_text(config)
    return [program, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]


def _health(url):
    try:
        return httpx.get(f"{url}/health", timeout=5, trust_env=False).json()
    except httpx.HTTPError:
        return {}


@pytest.fixture(scope="module")
def servers(stack, tmp_path_factory):
    folder = tmp_path_factory.mktemp("two-servers")
    ports = [own_port(19390), own_port(19490)]
    proxy_port = own_port(19590)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SAM_INSPECT_")}
    own = {"SAM_INSPECT_HOME": str(folder / "home"), "SAM_INSPECT_CACHE": str(folder / "cache")}
    own |= {"SAM_INSPECT_SETTINGS": os.devnull, "SAM_INSPECT_LABEL_STUDIO_URL": stack.url, "NO_PROXY": "*"}
    urls = [f"http://127.0.0.1:{port}" for port in ports]
    with ExitStack() as running_servers:
        processes = [
            running_servers.enter_context(
                running(
                    f"Server {port}",
                    [sys.executable, "-m", "sam_inspect", "serve", "--port", str(port)],
                    environment=inherited | own,
                    log=folder / f"{port}.log",
                    is_ready=lambda url=url: _health(url).get("status") == "UP",
                    timeout=300,
                )
            )
            for port, url in zip(ports, urls, strict=True)
        ]
        proxy = f"http://127.0.0.1:{proxy_port}"
        running_servers.enter_context(
            running(
                "nginx",
                _nginx(folder, proxy_port, ports),
                environment=inherited,
                log=folder / "nginx.log",
                is_ready=lambda: bool(_health(proxy)),
                timeout=60,
            )
        )
        yield Servers(folder / "home", urls, processes, proxy, folder / "access.log")


@pytest.fixture(scope="module")
def stains_behind_the_proxy(stack, servers, stains):
    return open_stains(stack, stains, "Stains, two servers", servers.proxy)


def click(x, y, id_, *, positive):
    value = {"x": 100 * x / SIZE[1], "y": 100 * y / SIZE[0], "width": 0.3, "keypointlabels": ["Stain"]}
    frame = {"original_width": SIZE[1], "original_height": SIZE[0], "image_rotation": 0, "to_name": "image"}
    return {"id": id_, "from_name": "click", "type": "keypointlabels", "value": value, "is_positive": positive} | frame


def test_whichever_server_is_asked_a_click_corrects_what_was_answered_before(
    stack, servers, stains, stains_behind_the_proxy
):
    _, masks = stains
    _, connection, tasks = stains_behind_the_proxy
    # Label Studio gives its token to one of the two, and all images need it.
    assert servers.answered("/setup")
    for task in tasks[-2:]:
        rows, columns = masks[task.name].nonzero()
        box = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
        prompter = Prompter(stack.api, connection, task, SIZE, "Stain")
        first = prompter.box(*map(float, box))
        assert mask_iou(first.mask, masks[task.name]) >= 0.5
        inside = list(zip(*first.mask.nonzero(), strict=True))[:: max(1, int(first.mask.sum()) // 3)][:3]
        ids = set()
        for step, (row, column) in enumerate(inside):
            drawn = click(column + 0.5, row + 0.5, f"{task.id}-{step}", positive=False)
            ids |= {region["id"] for region in stack.api.prompt(connection, task.id, [drawn]).regions}
        assert len(ids) == 1
    assert len(set(servers.answered("/predict"))) == 2


def test_what_one_server_was_told_is_proposed_by_both(stack, servers, stains, stains_behind_the_proxy):
    _, masks = stains
    number, _, tasks = stains_behind_the_proxy
    accept(stack, tasks[:TAUGHT], masks)
    wait_for_examples(servers.home, number, TAUGHT)
    assert len(set(servers.answered("/webhook"))) == 2
    before = len(servers.answered("/predict"))
    for task in tasks[TAUGHT:]:
        check_predictions(stack, number, [task], masks)
    assert len(set(servers.answered("/predict")[before:])) == 2


def test_a_promotion_is_followed_by_both(servers):
    versions = Versions(servers.home / "models")
    with versions.staging("nano") as folder:
        for file in Path(nano.__file__).parent.glob("*.*[!y]"):
            shutil.copy(file, folder)
        with (folder / "decoder.onnx").open("ab") as decoder:
            # The field doc_string of ONNX, so that these weights are others that answer alike.
            decoder.write(b"\x32\x05tuned")
        made = versions.add(Version("", "nano"), folder)
    before = [_health(url)["model_version"] for url in servers.urls]
    assert len(set(before)) == 1
    promoted = [sys.executable, "-m", "sam_inspect", "models", "promote", made.name]
    subprocess.run(promoted, env=os.environ | {"SAM_INSPECT_HOME": str(servers.home)}, check=True, capture_output=True)
    for url in servers.urls:
        wait_for(lambda url=url: _health(url)["model_version"] not in before)


def test_one_server_is_killed_while_it_answers_and_nothing_is_lost(stack, servers, stains, stains_behind_the_proxy):
    _, masks = stains
    number, connection, tasks = stains_behind_the_proxy
    killed = servers.processes[0]
    # It takes requests and answers none. Label Studio waits for a second.
    os.kill(killed.pid, signal.SIGSTOP)
    accept(stack, tasks[TAUGHT:], masks)
    os.kill(killed.pid, signal.SIGKILL)
    kept = f"memory/{number}.*/annotations/*.json"
    wait_for(lambda: len(list(servers.home.glob(kept))) == len(tasks))
    wait_for(lambda: any("," in line and "/webhook" in line for line in servers.log.read_text().splitlines()))
    for step in range(3):
        (region,) = stack.api.prompt(connection, tasks[0].id, [click(300, 200, str(step), positive=True)]).regions
        assert decode_rle(region["value"]["rle"], SIZE).any()
