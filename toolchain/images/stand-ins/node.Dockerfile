# A stand-in for the official node image, from the packages that npm has of Node, npm, corepack and yarn, laid out as there.
FROM debian:bookworm-slim
ADD packages.tar /
RUN groupadd --gid 1000 node \
 && useradd --uid 1000 --gid node --shell /bin/bash --create-home node \
 && ln -s node /usr/local/bin/nodejs \
 && ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm \
 && ln -s ../lib/node_modules/npm/bin/npx-cli.js /usr/local/bin/npx \
 && ln -s ../lib/node_modules/corepack/dist/corepack.js /usr/local/bin/corepack \
 && ln -s /opt/yarn/bin/yarn /usr/local/bin/yarn \
 && ln -s /opt/yarn/bin/yarnpkg /usr/local/bin/yarnpkg \
 # smoke tests
 && node --version && npm --version && yarn --version && corepack --version \
 && rm -rf "$HOME/.npm" /tmp/v8-compile-cache*
ARG STAND_IN
LABEL nx-dte.stand-in="${STAND_IN}" \
      org.opencontainers.image.title="stand-in for an official node image, for builds and tests of nx-dte only"
CMD ["node"]
