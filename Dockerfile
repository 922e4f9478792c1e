# A small final image: the binary and the libraries it needs, a user of its own, one volume.
#
#   docker build -t moonloom .
#   docker run --network host -v moonloom:/data moonloom
#
# Until accounts exist the server listens on loopback only, hence the host's network.
FROM debian:12-slim AS build
WORKDIR /src
COPY . .
RUN ./scripts/setup build && ./scripts/build-www && ./scripts/build release --target moonloom

FROM debian:12-slim
RUN apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
      libwebsockets17 libwebsockets-evlib-uv libluajit-5.1-2 libuv1 libsqlite3-0 libzstd1 libutf8proc2 \
      libcjson1 zlib1g libssl3 libargon2-1 libcurl4 libpq5 libhiredis0.14 \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 10001 --home-dir /data moonloom \
 && install -d -o moonloom -g moonloom -m 0700 /data
COPY --from=build /src/build/release/moonloom /usr/local/bin/moonloom
USER moonloom
VOLUME /data
WORKDIR /data
HEALTHCHECK CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8080 && printf 'GET /healthz HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n' >&3 && grep -q '^ok' <&3"]
ENTRYPOINT ["moonloom", "serve"]
CMD ["--listen", "127.0.0.1:8080", "--data", "/data"]
