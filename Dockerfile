# The image holds the static programs and nothing else: `make image` builds them first.
FROM scratch
COPY bin/raftlookupd bin/lookupctl /
# An empty folder that belongs to the user below: a volume made for it takes over the owner.
COPY --chown=65532:65532 deploy/empty /data
USER 65532:65532
VOLUME /data
EXPOSE 4160 4161 4162 4163/tcp 4163/udp
HEALTHCHECK --interval=5s --timeout=2s --start-period=10s CMD ["/raftlookupd", "healthcheck"]
ENTRYPOINT ["/raftlookupd", "-data-path", "/data"]
