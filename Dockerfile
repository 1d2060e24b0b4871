# Granary in a container: what `make`, `make run` and `make test` need, from the same lists as on a machine.
#
#   docker build -t granary . && docker run --rm -it granary make run
#
# JOBS: the lists of tools/setup.sh to install.
FROM debian:stable-slim
ARG JOBS="run bochs debug test"
WORKDIR /granary
COPY tools/setup.sh tools/
RUN sh tools/setup.sh --only $JOBS && rm -rf /var/lib/apt/lists/*
COPY . .
CMD ["make", "run"]
