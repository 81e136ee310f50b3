from __future__ import annotations

import re
from pathlib import Path

import pytest
from drakit.kubelet.proto import dra_v1_pb2, dra_v1beta1_pb2, health_v1_pb2, health_v1alpha1_pb2
from drakit.kubelet.proto.generate import PROTOS, SOURCE_ROOT, generate


def _compiler(module: Path) -> str:
    match = re.search(r"^# Protobuf Python Version: (.*)$", module.read_text(), re.MULTILINE)
    assert match is not None
    return match[1]


def test_the_committed_modules_are_what_the_proto_files_generate(tmp_path: Path) -> None:
    pytest.importorskip("grpc_tools", reason="grpcio-tools is not installed")
    generated = generate(tmp_path)
    made, committed = (_compiler(root / "drakit/kubelet/proto/dra_v1_pb2.py") for root in (tmp_path, SOURCE_ROOT))
    if made != committed:
        pytest.skip(f"the modules were generated with protobuf {committed}; this grpcio-tools has {made}")
    for path in generated:
        assert path.read_text() == (SOURCE_ROOT / path.relative_to(tmp_path)).read_text(), path.name


def test_every_proto_file_has_its_modules_and_no_module_is_left_over() -> None:
    stems = {path.stem for path in PROTOS.glob("*.proto")}
    assert {path.name.removesuffix("_pb2.py") for path in PROTOS.glob("*_pb2.py")} == stems
    assert {path.name.removesuffix("_pb2.pyi") for path in PROTOS.glob("*_pb2.pyi")} == stems


def test_the_versions_of_a_service_differ_in_nothing_but_share_id() -> None:
    def shape(module: object) -> dict[str, list[tuple[str, int, int]]]:
        messages = module.DESCRIPTOR.message_types_by_name  # type: ignore[attr-defined]
        return {name: [(f.name, f.number, f.type) for f in m.fields] for name, m in messages.items()}

    v1, v1beta1 = shape(dra_v1_pb2), shape(dra_v1beta1_pb2)
    assert v1["Device"].pop() == ("share_id", 5, 9)
    assert v1 == v1beta1
    assert shape(health_v1_pb2) == shape(health_v1alpha1_pb2)


def test_fields_are_where_the_kubelet_puts_them() -> None:
    claim = dra_v1_pb2.Claim(namespace="ns", uid="uid", name="name")
    assert claim.SerializeToString() == b"\x0a\x02ns\x12\x03uid\x1a\x04name"
    device = dra_v1_pb2.Device(request_names=["r"], pool_name="p", device_name="d", cdi_device_ids=["i"], share_id="s")
    assert device.SerializeToString() == b"\x0a\x01r\x12\x01p\x1a\x01d\x22\x01i\x2a\x01s"
