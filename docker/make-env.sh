#!/bin/sh
# Writes the file .env beside this script, with random passwords for compose.yaml; --gpu takes the image with CUDA,
# --monitoring brings Prometheus and Grafana.
set -eu
cd "$(dirname "$0")"

backend=cpu more=
for option in "$@"; do
    case "$option" in
        --gpu) backend=gpu ;;
        --monitoring) more=,monitoring ;;
        *) echo "usage: make-env.sh [--gpu] [--monitoring]" >&2; exit 2 ;;
    esac
done
if [ -e .env ]; then
    echo "$PWD/.env is there already and is not changed: its passwords are those of the volumes." >&2
    exit 1
fi

random() { od -An -vtx1 -N "$1" /dev/urandom | tr -d ' \n'; }

umask 077
cat > .env.new <<VALUES
# The name of the containers and volumes.
STACK=sam-inspect
# cpu or gpu; example makes a project with images, and can be taken out once it is there; monitoring: see observability.md.
COMPOSE_PROFILES=$backend,example$more
# The address that people open.
LABEL_STUDIO_HOST=http://localhost:8080
LABEL_STUDIO_USER=admin@example.com
LABEL_STUDIO_PASSWORD=$(random 9)
LABEL_STUDIO_TOKEN=$(random 20)
POSTGRES_PASSWORD=$(random 18)
SAM_INSPECT_PASSWORD=$(random 18)
# Of the user admin of Grafana, at http://localhost:3000.
GRAFANA_PASSWORD=$(random 18)
VALUES
mv .env.new .env
echo "$PWD/.env is written: log in with LABEL_STUDIO_USER and LABEL_STUDIO_PASSWORD."
