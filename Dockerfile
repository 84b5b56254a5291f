# syntax=docker/dockerfile:1
#
# The image of manifests/base: `docker build --tag REGISTRY/faas-iam:0.1.0 .`. Which bases these tags
# stand for changes with their security fixes: pin digests where builds have to be the same.
ARG RUST_VERSION=1.95.0
ARG DEBIAN=trixie

FROM rust:${RUST_VERSION}-slim-${DEBIAN} AS build
WORKDIR /build

# The dependencies, with nothing of ours but a shell: built again only when they change.
COPY Cargo.toml Cargo.lock ./
RUN mkdir src benches \
    && touch src/lib.rs benches/decide.rs \
    && echo 'fn main() {}' > src/main.rs \
    && echo 'fn main() {}' > build.rs \
    && cargo build --release --locked --bin faas-iam

COPY build.rs ./
COPY proto proto
COPY src src
# Cargo goes by the time of a file, and the shell is younger than these.
RUN touch build.rs src/lib.rs src/main.rs \
    && cargo build --release --locked --bin faas-iam

# glibc, its companions and the certificates of public authorities; no shell and no package manager.
FROM gcr.io/distroless/cc-debian13:nonroot

LABEL org.opencontainers.image.title="faas-iam" \
      org.opencontainers.image.description="Identity and access management for OpenFaaS" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="0.1.0"

COPY --from=build /build/target/release/faas-iam /usr/local/bin/faas-iam

# By number, so that Kubernetes can tell that it is not root.
USER 65532:65532

# Decisions, tokens, probes and metrics. Kubernetes probes by itself: there is no HEALTHCHECK.
EXPOSE 9000 8080 9090

ENTRYPOINT ["/usr/local/bin/faas-iam"]
CMD ["--help"]
