#!/bin/sh
# Pulls an image and prints its id. Credentials come by stdin, and go with the folder they are kept in meanwhile.
# usage: pull.sh REFERENCE TIMEOUT_S REGISTRY USERNAME    the last two are empty where nobody logs in
set -eu
if [ -n "$3" ]; then
  DOCKER_CONFIG=$(mktemp -d)
  export DOCKER_CONFIG
  trap 'rm -rf "$DOCKER_CONFIG"' EXIT
  docker login --username "$4" --password-stdin "$3" >/dev/null
fi
timeout "$2" docker pull --quiet "$1" >&2
docker image inspect --format '{{.Id}}' "$1"
