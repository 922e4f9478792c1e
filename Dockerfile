# A small final image: the binary and the libraries it needs, a user of its own, one volume.
#
#   docker build -t moonloom .
#   docker run -p 127.0.0.1:8080:8080 -v moonloom:/data -e MOONLOOM_PUBLIC_URL=https://docs.example.com moonloom
#
# One node, one file of storage, accounts with passwords, behind a proxy of yours that ends TLS for that address. The link for the first
# account is in the log, with the address of the inside: put the public one in its place.
#
# Several nodes: docs/deploy/compose. What the image runs with is docs/deploy/compose/moonloom.lua; mount another in its place.
FROM debian:12-slim AS build
WORKDIR /src
COPY . .
RUN ./scripts/setup build && ./scripts/build-www && ./scripts/build release --target moonloom

FROM debian:12-slim
RUN apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
      libwebsockets17 libwebsockets-evlib-uv libluajit-5.1-2 libuv1 libsqlite3-0 libzstd1 libutf8proc2 \
      libcjson1 zlib1g libssl3 libargon2-1 libcurl4 libpq5 libhiredis0.14 ca-certificates \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 10001 --home-dir /data moonloom \
 && install -d -o moonloom -g moonloom -m 0700 /data
COPY --from=build /src/build/release/moonloom /usr/local/bin/moonloom
COPY docs/deploy/compose/moonloom.lua /etc/moonloom/moonloom.lua
USER moonloom
VOLUME /data
WORKDIR /data
EXPOSE 8080
ENV MOONLOOM_LISTEN=0.0.0.0:8080 MOONLOOM_DATA=/data
HEALTHCHECK --interval=5s --timeout=4s --start-period=20s CMD ["moonloom", "health"]
ENTRYPOINT ["moonloom", "serve"]
CMD ["--config", "/etc/moonloom/moonloom.lua"]
