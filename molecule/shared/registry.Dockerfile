# A host with Debian's registry of images: plain HTTP on port 5000, for everybody.
ARG BASE
FROM ${BASE}
RUN apt-get install --yes --no-install-recommends docker-registry
COPY registry.yml /etc/docker/registry/config.yml
RUN systemctl enable docker-registry.service
