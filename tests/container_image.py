"""Builds an image of a Dockerfile without a container engine: its steps are run in overlays of this machine's own root.

The base image is this machine with its Python, so a step that needs more than that and the Dockerfile is not found out.
It needs root on Linux.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path

# How this machine reaches the package index is its own affair.
_OF_THE_MACHINE = re.compile(r"(?i)(PIP_|SSL_CERT|REQUESTS_CA|CURL_CA|.*_proxy$)")
_LOOPBACK_UP = (
    "import fcntl, socket, struct; "
    "fcntl.ioctl(socket.socket(socket.AF_INET, socket.SOCK_DGRAM), 0x8914, struct.pack('16sh22x', b'lo', 1))"
)


@dataclass(frozen=True)
class Image:
    """What the steps of a stage made, and how it is started."""

    layer: Path
    environment: dict[str, str] = field(default_factory=dict)
    user: str = "0:0"
    folder: str = "/"
    volumes: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    health: tuple[str, ...] = ()

    def run(self, *words, timeout=60, **environment):
        """Run a command in a container of the image: a read-only root, empty volumes, and a network of its own."""
        return _run(self, words, timeout, environment, own_network=True)


def can_build():
    """Return whether this machine and this user can run the steps."""
    probe = (
        "mount -t tmpfs none /mnt && mkdir /mnt/u /mnt/w /mnt/m && "
        "mount -t overlay o -o lowerdir=/,upperdir=/mnt/u,workdir=/mnt/w /mnt/m"
    )
    if os.name != "posix" or os.geteuid() != 0 or not shutil.which("unshare"):
        return False
    return subprocess.run(["unshare", "--mount", "sh", "-c", probe], capture_output=True).returncode == 0


def instructions(dockerfile):
    """Yield (name, rest) of each instruction."""
    lines = [line for line in dockerfile.read_text().splitlines() if not line.lstrip().startswith("#")]
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        if line.strip():
            name, _, rest = line.strip().partition(" ")
            yield name, rest.strip()


def build(dockerfile, context, target, work):
    """Run the steps of a stage and of those that it needs; return its image.

    Raises
    ------
    RuntimeError
        If a step fails, with its output.
    """
    stages, steps = {}, {}
    for instruction, rest in instructions(dockerfile):
        if instruction == "FROM":
            base, _, name = rest.partition(" AS ")
            steps[name] = [("FROM", base)]
        # The argument before the first stage is the base image.
        elif steps:
            steps[name].append((instruction, rest))

    def make(stage):
        if stage not in stages:
            layer = Path(tempfile.mkdtemp(dir=work))
            layer.chmod(0o755)
            own = steps.get(stage)
            stages[stage] = _build_stage(own, make, context, layer) if own else _base_image(layer)
        return stages[stage]

    return make(target)


def _build_stage(steps, make, context, layer):
    base = make(steps[0][1])
    # An overlay cannot have two layers on this machine's root.
    subprocess.run(["cp", "-a", f"{base.layer}/.", layer], check=True)
    image = replace(base, layer=layer)
    for instruction, rest in steps[1:]:
        image = _step(image, instruction, rest, make, context)
    return image


def _base_image(layer):
    """Return this machine with a Python of its own, with pip, that any user may run."""
    prefix = Path(sys.base_prefix)
    for folder in reversed([prefix, *prefix.parents][:-1]):
        (layer / folder.relative_to("/")).mkdir(mode=0o755, exist_ok=True)
    image = Image(layer, {"PATH": "/opt/python/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"})
    return _step(image, "RUN", f"{prefix}/bin/python3 -m venv /opt/python", None, None)


def _step(image, instruction, rest, make, context):
    words = tuple(json.loads(rest)) if rest.startswith("[") else None
    match instruction:
        case "RUN":
            done = _run(image, ["sh", "-c", rest], 900, {}, own_network=False)
            if done.returncode:
                raise RuntimeError(f"RUN {rest}\n{done.stdout}{done.stderr}")
        case "COPY":
            _copy(image, shlex.split(rest), make, context)
        case "WORKDIR":
            (image.layer / rest.lstrip("/")).mkdir(parents=True, exist_ok=True)
            return replace(image, folder=rest)
        case "ENV":
            pairs = dict(pair.split("=", 1) for pair in shlex.split(rest))
            values = {key: re.sub(r"\$(\w+)", lambda m: image.environment[m[1]], value) for key, value in pairs.items()}
            return replace(image, environment=image.environment | values)
        case "USER":
            return replace(image, user=rest)
        case "VOLUME":
            return replace(image, volumes=words)
        case "ENTRYPOINT":
            return replace(image, entrypoint=words)
        case "CMD":
            return replace(image, command=words)
        case "HEALTHCHECK":
            return replace(image, health=tuple(json.loads(rest.partition(" CMD ")[2])))
        case "LABEL" | "EXPOSE":
            pass
        case _:
            raise RuntimeError(f"no such instruction is known: {instruction} {rest}")
    return image


def _copy(image, words, make, context):
    source = context
    if words[0].startswith("--from="):
        source = make(words.pop(0).removeprefix("--from=")).layer
    *names, target = words
    place = image.layer / os.path.normpath(os.path.join(image.folder, target)).lstrip("/")
    for name in names:
        origin = source / name.lstrip("/")
        if origin.is_dir():
            # As `docker build` with the file Dockerfile.dockerignore.
            shutil.copytree(
                origin,
                place,
                symlinks=True,
                dirs_exist_ok=True,
                ignore=shutil.ignore_patterns("__pycache__") if source == context else None,
            )
        else:
            to = place / origin.name if target.endswith("/") else place
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(origin, to)


def _run(image, words, timeout, environment, *, own_network):
    """Run a command in an overlay of this machine's root and the layer of an image."""
    root = image.layer.parent / "root"
    root.mkdir(exist_ok=True)
    scratch = image.layer.parent / "scratch"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    script = [
        f"mount -t overlay overlay -o lowerdir=/,upperdir={image.layer},workdir={scratch} {root}",
        f"mount --rbind /dev {root}/dev",
        f"mount -t proc proc {root}/proc",
        # With some hosts, the file of the name servers is a mount of its own.
        f"[ ! -e /etc/resolv.conf ] || mount --bind /etc/resolv.conf {root}/etc/resolv.conf",
    ]
    if own_network:
        script.append(f"{sys.executable} -c {shlex.quote(_LOOPBACK_UP)}")
        script.append(f"mount -o remount,ro {root}")
        # A new volume has the owner and the mode that its folder has in the image.
        for number, volume in enumerate(image.volumes):
            kept = f"/run/volume-{number}"
            script.append(f"cp -a {root}{volume} {kept}")
            script.append(f"mount --bind {kept} {root}{volume}")
        script.insert(0, "mount -t tmpfs tmpfs /run")
    script.append(f"mount -t tmpfs tmpfs {root}/tmp")
    own = {} if own_network else {name: value for name, value in os.environ.items() if _OF_THE_MACHINE.match(name)}
    variables = {"HOME": "/root"} | own | image.environment | environment
    given = shlex.join(f"{name}={value}" for name, value in variables.items())
    inside = f"cd {shlex.quote(image.folder)} && exec env -i {given} {shlex.join(words)}"
    script.append(f"exec chroot --userspec={image.user} --groups= {root} sh -c {shlex.quote(inside)}")
    namespaces = ["--mount", "--pid", "--fork", "--kill-child", *(["--net"] if own_network else [])]
    return subprocess.run(
        ["unshare", *namespaces, "sh", "-ec", "\n".join(script)],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
