# A host that serves the stand-in GitLab on port 80, with an empty project. Its context is put together by toolchain/molecule.
ARG BASE
FROM ${BASE}
COPY packages /usr/lib/stand-in-gitlab/packages
COPY code /usr/lib/stand-in-gitlab/code
COPY stand-in-gitlab /usr/local/bin/
COPY stand-in-gitlab.service /etc/systemd/system/
RUN systemctl enable stand-in-gitlab.service
