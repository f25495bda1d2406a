#!/bin/sh
# Loads an archive and prints the image's id, which must be one of those given.
# usage: load.sh ARCHIVE ID...
set -eu
docker load --quiet --input "$1" >&2
shift
for id; do
  docker image inspect --format '{{.Id}}' "$id" 2>/dev/null && exit
done
echo "what was loaded is none of: $*" >&2
exit 1
