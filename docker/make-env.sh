#!/bin/sh
# Writes the file .env beside this script, with random passwords for compose.yaml; --gpu takes the image with CUDA.
set -eu
cd "$(dirname "$0")"

backend=cpu
case "${1:-}" in
    "") ;;
    --gpu) backend=gpu ;;
    *) echo "usage: make-env.sh [--gpu]" >&2; exit 2 ;;
esac
if [ -e .env ]; then
    echo "$PWD/.env is there already and is not changed: its passwords are those of the volumes." >&2
    exit 1
fi

random() { od -An -vtx1 -N "$1" /dev/urandom | tr -d ' \n'; }

umask 077
cat > .env.new <<VALUES
# The name of the containers and volumes.
STACK=sam-inspect
# cpu or gpu; example makes a project with images, and can be taken out once it is there.
COMPOSE_PROFILES=$backend,example
# The address that people open.
LABEL_STUDIO_HOST=http://localhost:8080
LABEL_STUDIO_USER=admin@example.com
LABEL_STUDIO_PASSWORD=$(random 9)
LABEL_STUDIO_TOKEN=$(random 20)
POSTGRES_PASSWORD=$(random 18)
SAM_INSPECT_PASSWORD=$(random 18)
VALUES
mv .env.new .env
echo "$PWD/.env is written: log in with LABEL_STUDIO_USER and LABEL_STUDIO_PASSWORD."
