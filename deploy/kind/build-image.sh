#!/usr/bin/env bash
# Build the image from this checkout, as an archive that load-image.sh gives to the nodes: without a container engine on
# Debian, with Docker elsewhere.
# shellcheck source-path=SCRIPTDIR source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# Ubuntu has the tools, and other packages.
has_debian() {
  command -v dpkg-deb > /dev/null &&
    grep -qx Debian <<< "$(apt-get indextargets --format "\$(LABEL)" 2> /dev/null)"
}

[[ -z ${DRAKIT_IMAGE:-} ]] || fail "DRAKIT_IMAGE names an image that is there already; deploy/kind/load-image.sh loads it"
say "building $IMAGE"
if [[ -n ${DEBIAN_ARCHIVE:-} ]] || has_debian; then
  need make "install it"
  make --directory "$REPOSITORY" image || fail "the image could not be built; the message is above"
else
  need docker "this machine is no Debian, so the image is built with it; see https://docs.docker.com/get-docker/"
  docker build --file "$REPOSITORY/deploy/container/Containerfile" --tag "$IMAGE" "$REPOSITORY" ||
    fail "the image could not be built; the message is above"
  mkdir -p "$(dirname "$ARCHIVE")"
  docker save --output "$ARCHIVE" "$IMAGE" || fail "the image could not be written to $ARCHIVE"
fi
say "done: $ARCHIVE. Next: deploy/kind/load-image.sh"
