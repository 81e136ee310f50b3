#!/usr/bin/env bash
# Give the image to the nodes of the kind cluster, as they pull none: one that build-image.sh made, or with DRAKIT_IMAGE
# one that Docker has.
# shellcheck source-path=SCRIPTDIR source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

need_cluster
if [[ -n ${DRAKIT_IMAGE:-} ]]; then
  say "loading $IMAGE into cluster $CLUSTER"
  kind load docker-image "$IMAGE" --name "$CLUSTER" || fail "kind could not load $IMAGE; does Docker have it?"
else
  [[ -f $ARCHIVE ]] || fail "there is no $ARCHIVE; make it with deploy/kind/build-image.sh"
  say "loading $ARCHIVE into cluster $CLUSTER"
  kind load image-archive "$ARCHIVE" --name "$CLUSTER" || fail "kind could not load $ARCHIVE"
fi
say "done. Next: deploy/kind/install.sh"
