#!/usr/bin/env bash
# Show what drakit does on the kind cluster: demo.sh [--keep] [DEMO...], of demos/; by default all, one after another.
# Each demo runs in a namespace of its own, which is deleted at the end but for --keep.
# shellcheck source-path=SCRIPTDIR source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

ALL=(aligned shared-efa gpu-partition fault-rehearsal)
CLAIMS='{range .items[*]}{.metadata.name}, for {.status.reservedFor[*].name}:{"\n"}{range .status.allocation.devices.results[*]}  {.request}: {.device} of {.driver} on {.pool}{"\n"}{end}{end}'
DEVICE='{.items[0].status.allocation.devices.results[0].device}'
NODE='{.items[0].status.allocation.devices.results[0].pool}'
POD='{.items[0].metadata.name}'
AGENT=app.kubernetes.io/name=drakit

in_demo() {
  on_cluster --namespace "demo-$demo" "$@"
}

# On the node of the device.
in_agent() {
  on_cluster --namespace "$NAMESPACE" exec "$agent" --container agent -- drakit "$@"
}

show_claims() {
  in_demo get resourceclaims --output "jsonpath=$CLAIMS"
}

show_logs() {
  local pod
  for pod in $(in_demo get pods --output name); do
    in_demo logs "$pod" --all-containers --prefix
  done
}

wait_for_pods() {
  # Deployments make theirs only now.
  until_true "the pods of demo $demo" has_pods
  in_demo wait pod --all --for condition=Ready --timeout 2m > /dev/null || stuck
}

has_pods() {
  [[ -n $(in_demo get pods --output name) ]]
}

stuck() {
  in_demo get pods >&2
  in_demo get events --field-selector type=Warning >&2
  fail "the pods of demo $demo do not run; the events above say why, and docs/troubleshooting.md what to do"
}

# until_true WHAT COMMAND...: within a minute.
until_true() {
  local what=$1
  shift
  for _ in $(seq 60); do
    if "$@"; then return; fi
    sleep 1
  done
  fail "waited a minute for $what"
}

run_demo() {
  local file=$KIND_DIRECTORY/demos/$demo.yaml
  say "demo $demo"
  sed -n '/^#/!q; s/^# \{0,1\}//p' "$file"
  on_cluster apply --filename "$file" > /dev/null
  wait_for_pods
  show_claims
  show_logs
  if [[ $demo == fault-rehearsal ]]; then rehearse; fi
}

rehearse() {
  local device node pod agent
  device=$(in_demo get resourceclaims --output "jsonpath=$DEVICE")
  node=$(in_demo get resourceclaims --output "jsonpath=$NODE")
  pod=$(in_demo get pods --output "jsonpath=$POD")
  agent=$(on_cluster --namespace "$NAMESPACE" get pods --selector "$AGENT" --field-selector "spec.nodeName=$node" \
    --output "jsonpath=$POD")

  say "breaking $device of $node: drakit mock fault $device unhealthy, in pod $agent"
  in_agent mock fault "$device" unhealthy
  until_true "the taint of $device" is_tainted
  taints
  in_demo wait pod "$pod" --for delete --timeout 1m || fail "pod $pod was not evicted; is DRADeviceTaints on?"
  wait_for_pods
  say "the pod was evicted, and its successor has another device"
  show_claims

  say "mending $device: the fault ends, and an operator says that the device was looked at"
  in_agent mock fault "$device" heal
  in_agent device clear neuron.aws.com "$device"
  until_true "the taint of $device to go" is_sound
  say "$device is sound again"
}

taints() {
  on_cluster get resourceslices --output "jsonpath={range .items[?(@.spec.nodeName==\"$node\")].spec.devices[?(@.name==\"$device\")].taints[*]}{.key}={.value}:{.effect}{\"\n\"}{end}"
}

is_tainted() {
  [[ -n $(taints) ]]
}

is_sound() {
  ! is_tainted
}

keep=
demos=()
for argument in "$@"; do
  if [[ $argument == --keep ]]; then
    keep=yes
  elif [[ -f $KIND_DIRECTORY/demos/$argument.yaml ]]; then
    demos+=("$argument")
  else
    fail "there is no demo $argument; there are ${ALL[*]}"
  fi
done
need_cluster
[[ -n $(on_cluster --namespace "$NAMESPACE" get pods --selector "$AGENT" --output name) ]] ||
  fail "drakit is not installed on cluster $CLUSTER; run deploy/kind/install.sh"
if [[ ${#demos[@]} -eq 0 ]]; then demos=("${ALL[@]}"); fi
for demo in "${demos[@]}"; do
  run_demo
done
if [[ -z $keep ]]; then
  say "deleting the namespaces ${demos[*]/#/demo-}; with --keep they stay"
  on_cluster delete namespace "${demos[@]/#/demo-}" > /dev/null
fi
say "done. deploy/kind/delete-cluster.sh removes the cluster"
