"""The plan for one pool, carried out on a model of the server, against what consumers of slices go by."""

from __future__ import annotations

import copy
import itertools

from drakit.kube.reconcile import plan
from hypothesis import given
from hypothesis import strategies as st

DRIVER, POOL, NODE = "gpu.example.com", "node-1", "node-1"


def specs_of(contents) -> list[dict]:
    """One spec per string; each letter is a device."""
    return [
        {
            "driver": DRIVER,
            "nodeName": NODE,
            "pool": {"name": POOL, "resourceSliceCount": len(contents)},
            **({"devices": [{"name": letter} for letter in content]} if content else {}),
        }
        for content in contents
    ]


class Server:
    """Names, versions and objects; carries plans out, all of them or the first few writes."""

    def __init__(self) -> None:
        self.objects: dict[str, dict] = {}
        self._numbers = itertools.count(1)

    def create(self, spec, generation, name):
        spec = {**spec, "pool": {**spec["pool"], "generation": generation}}
        metadata = {"name": name, "uid": f"u-{next(self._numbers)}", "resourceVersion": str(next(self._numbers))}
        self.objects[name] = {"metadata": metadata, "spec": spec}

    def carry_out(self, steps, specs, most=10_000) -> int:
        done = 0
        for document in steps.delete[: most - done]:
            assert self.objects.pop(document["metadata"]["name"]) == document
            done += 1
        for _, document in steps.replace[: most - done]:
            name = document["metadata"]["name"]
            assert self.objects[name]["metadata"]["resourceVersion"] == document["metadata"]["resourceVersion"]
            stored = {"metadata": document["metadata"] | {"resourceVersion": str(next(self._numbers))}}
            self.objects[name] = stored | {"spec": document["spec"]}
            done += 1
        for index in steps.create[: most - done]:
            self.create(specs[index], steps.generation, f"{index:05x}-{DRIVER}-{NODE}-{next(self._numbers)}")
            done += 1
        return done

    def seen_by_consumers(self) -> list[str] | None:
        """The devices of the newest generation, by slice name; None while the pool is incomplete."""
        pools = [document["spec"]["pool"] for document in self.objects.values()]
        newest = max((pool["generation"] for pool in pools), default=0)
        slices = [self.objects[name]["spec"] for name in sorted(self.objects)]
        slices = [spec for spec in slices if spec["pool"]["generation"] == newest]
        if not slices or any(spec["pool"]["resourceSliceCount"] != len(slices) for spec in slices):
            return None
        return [device["name"] for spec in slices for device in spec.get("devices") or ()]

    def published(self) -> list[dict]:
        return copy.deepcopy(list(self.objects.values()))


contents = st.lists(st.text("abcdef", max_size=3), min_size=1, max_size=4)
names = st.one_of(
    st.builds(lambda index, salt: f"{index:05x}-{DRIVER}-{NODE}-x{salt}", st.integers(0, 5), st.integers(0, 99)),
    st.builds(lambda salt: f"{NODE}-{DRIVER}-x{salt}", st.integers(0, 99)),
)
strays = st.lists(st.tuples(names, st.integers(1, 3), st.text("abcdef", max_size=3)), max_size=5)


def server_with(found) -> Server:
    server = Server()
    for name, generation, letters in found:
        server.create(specs_of([letters])[0], generation, name)
    return server


@given(contents, strays)
def test_whatever_was_there_the_pool_becomes_what_it_should_be_and_then_nothing_is_written(wanted, found):
    server, specs = server_with(found), specs_of(wanted)
    server.carry_out(plan(specs, server.published()), specs)
    assert sorted(server.seen_by_consumers()) == sorted("".join(wanted))
    assert plan(specs, server.published()).empty


@given(st.lists(contents, min_size=2, max_size=5), strays, st.lists(st.integers(0, 6), max_size=5))
def test_a_crash_after_any_write_is_made_good_by_the_next_plan(states, found, crashes):
    server = server_with(found)
    for wanted, most in itertools.zip_longest(states, crashes, fillvalue=None):
        if wanted is not None:
            specs = specs_of(wanted)
            server.carry_out(plan(specs, server.published()), specs, 10_000 if most is None else most)
    server.carry_out(plan(specs, server.published()), specs)
    assert sorted(server.seen_by_consumers()) == sorted("".join(states[-1]))


@given(contents, strays)
def test_devices_stay_in_order_where_all_slices_are_named_by_their_place(wanted, found):
    server = server_with([item for item in found if not item[0].startswith(NODE)])
    specs = specs_of(wanted)
    server.carry_out(plan(specs, server.published()), specs)
    assert server.seen_by_consumers() == list("".join(wanted))


def published(*wanted: str) -> tuple[Server, list[dict]]:
    server, specs = Server(), specs_of(wanted)
    server.carry_out(plan(specs, []), specs)
    return server, specs


def test_the_first_generation_is_one():
    steps = plan(specs_of(["a", "b"]), [])
    assert (steps.generation, steps.create, steps.delete, steps.replace) == (1, (0, 1), (), ())


def test_one_changed_slice_is_replaced_within_its_generation():
    server, _ = published("ab", "c", "d")
    steps = plan(specs_of(["ab", "x", "d"]), server.published())
    assert (steps.generation, [index for index, _ in steps.replace], steps.create, steps.delete) == (1, [1], (), ())


def test_two_changed_slices_are_a_new_generation_of_all():
    server, _ = published("ab", "c", "d")
    steps = plan(specs_of(["ab", "x", "y"]), server.published())
    assert (steps.generation, [index for index, _ in steps.replace], steps.create, steps.delete) == (
        2,
        [0, 1, 2],
        (),
        (),
    )


def test_a_slice_that_somebody_deleted_comes_back_in_a_new_generation():
    server, specs = published("a", "b")
    steps = plan(specs, server.published()[1:])
    assert (steps.generation, len(steps.replace), steps.create) == (2, 1, (0,))


def test_a_stray_at_the_current_generation_is_deleted_and_nothing_else_written():
    server, specs = published("a", "b")
    server.create(specs[0], 1, f"00000-{DRIVER}-{NODE}-zzzzz")
    steps = plan(specs, server.published())
    assert (len(steps.delete), steps.replace, steps.create) == (1, (), ())


def test_slices_of_another_naming_are_adopted_by_the_devices_they_hold():
    server, specs = Server(), specs_of(["ab", "c"])
    server.create(specs[0], 4, f"{NODE}-{DRIVER}-q1")
    server.create(specs[1], 4, f"{NODE}-{DRIVER}-q0")
    assert plan(specs, server.published()).empty


def test_a_slice_bound_to_the_node_never_becomes_one_that_is_not():
    server, _ = published("a")
    (spec,) = specs_of(["a"])
    del spec["nodeName"]
    steps = plan([{**spec, "allNodes": True}], server.published())
    assert (len(steps.delete), steps.replace, steps.create) == (1, (), (0,))


def test_a_replacement_is_a_whole_document_in_the_version_it_replaces():
    server, _ = published("a")
    ((_, document),) = plan(specs_of(["b"]), server.published()).replace
    (stored,) = server.objects.values()
    assert document["metadata"] == stored["metadata"]
    assert (document["apiVersion"], document["kind"]) == ("resource.k8s.io/v1", "ResourceSlice")
    assert document["spec"]["pool"]["generation"] == 1
