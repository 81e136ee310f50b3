"""The plugins of this repository keep every rule of the conformance kit, on the nodes they are made for."""

from __future__ import annotations

from typing import ClassVar

from drakit.testing.conformance import PluginConformance
from drakit_efa.plugin import EfaPlugin
from drakit_mock.plugin import MockPlugin


class WithoutRounds(PluginConformance):
    """A full round costs seconds: one node type of each plugin goes through it, over both versions."""

    test_a_full_round_over_v1 = None
    test_a_full_round_over_v1beta1 = None


class TestEfaOnTrn2(PluginConformance):
    plugin = EfaPlugin
    node_type = "trn2.48xlarge"


class TestEfaOnP5(WithoutRounds):
    plugin = EfaPlugin
    node_type = "p5.48xlarge"


class TestEfaOnP4dWithRenumberedNodes(WithoutRounds):
    plugin = EfaPlugin
    node_type = "p4d.24xlarge@uverbs-permuted"
    parameters: ClassVar = ({"apiVersion": "efa.drakit/v1", "kind": "EfaConfig", "provider": True},)


class TestEfaOnP6BesideForeignVerbs(PluginConformance):
    plugin = EfaPlugin
    node_type = "p6-b200.48xlarge"
    test_a_full_round_over_v1 = None


class TestEfaOnG6e(WithoutRounds):
    plugin = EfaPlugin
    node_type = "g6e.48xlarge"


class TestEfaUnderAnotherName(WithoutRounds):
    plugin = EfaPlugin
    driver = "efa.example.com"
    node_type = "g6e.12xlarge"


class TestEfaWithFewerAdapters(WithoutRounds):
    plugin = EfaPlugin
    node_type = "p5.48xlarge@fewer"


class TestEfaByShares(WithoutRounds):
    plugin = EfaPlugin
    node_type = "p4d.24xlarge"
    options: ClassVar = {"sharing": {"shares": 4}}


class TestEfaByBandwidth(WithoutRounds):
    plugin = EfaPlugin
    node_type = "p4d.24xlarge"
    options: ClassVar = {"sharing": {"bandwidth": True}}


class TestMockGpu(WithoutRounds):
    plugin = MockPlugin
    options: ClassVar = {"profile": "generic-gpu"}


class TestMockSharedNic(PluginConformance):
    plugin = MockPlugin
    driver = "nic.example.com"
    options: ClassVar = {"profile": "shared-nic"}


class TestMockPartitions(WithoutRounds):
    plugin = MockPlugin
    driver = "partitions.example.com"
    options: ClassVar = {"profile": "partitionable-gpu"}
