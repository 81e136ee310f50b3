"""Whatever claims come and go: shares are disjoint, whole, kept, and refused only where they do not fit."""

from __future__ import annotations

from drakit import AllocatedDevice, ClaimRef, ContainerEdits, DeviceRef, Hold, PreparedDevice
from drakit.errors import DeviceBusy
from drakit_neuron.sharing import STATE, Division, held_cores, in_ranges
from hypothesis import given
from hypothesis import strategies as st

DEVICE = AllocatedDevice("request", DeviceRef("neuron.aws.com", "node-1", "neuron-device-0"), "share")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("prepare"), st.sampled_from([1, 2]), st.integers(1, 4)),
        st.tuples(st.just("unprepare"), st.integers(0, 9), st.just(0)),
    ),
    max_size=30,
)


def holds_of(shares):
    return [
        Hold(
            ClaimRef(str(number), "default", str(number)),
            PreparedDevice("request", DEVICE.device, ContainerEdits(), {STATE: share.text}, "share"),
        )
        for number, share in shares.items()
    ]


@given(total=st.sampled_from([2, 4, 8]), steps=STEPS)
def test_shares_never_meet_and_a_free_one_is_found(total, steps):
    shares = {}
    for number, (what, first, second) in enumerate(steps):
        if what == "unprepare":
            shares.pop(next(iter(list(shares)[first:]), None), None)
            continue
        size, count = first, first * second
        if count >= total:
            continue
        division = Division.of(total, holds_of(shares))
        room = [group for group in range(0, total, size) if division.free.issuperset(range(group, group + size))]
        try:
            share = division.share(DEVICE, count, size)
        except DeviceBusy:
            assert len(room) * size < count
            continue
        assert len(share.cores) == count
        assert division.free.issuperset(share.cores)
        assert all(share.cores[at] % size == 0 for at in range(0, count, size))
        shares[number] = share
        others = Division.of(total, holds_of({key: held for key, held in shares.items() if key != number}))
        assert others.share(DEVICE, count, size, share.text) == share


@given(st.frozensets(st.integers(0, 63)))
def test_what_is_written_is_read_as_the_same_cores(cores):
    assert held_cores(in_ranges(cores), 64) == cores


@given(st.text(alphabet="0123456789-, x", max_size=12))
def test_whatever_is_on_record_is_some_cores_of_the_device(text):
    assert held_cores(text, 8) <= frozenset(range(8))
