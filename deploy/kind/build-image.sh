#!/usr/bin/env bash
# Build the image from this checkout, as an archive that load-image.sh gives to the nodes; no container engine is needed.
# shellcheck source-path=SCRIPTDIR source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

[[ -z ${DRAKIT_IMAGE:-} ]] || fail "DRAKIT_IMAGE names an image that is there already; deploy/kind/load-image.sh loads it"
need make "install it"
say "building $IMAGE"
make --directory "$REPOSITORY" image || fail "the image could not be built; the message is above"
say "done: $ARCHIVE. Next: deploy/kind/load-image.sh"
