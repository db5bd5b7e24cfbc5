"""The contract of an adapter: what every framework's form of the phone tool has to keep.

A package that brings `PatterTool` to a framework writes an `AdapterHarness`, which says how that framework
builds, describes and calls its tool, and runs the suite over it::

    from patter.testing.contract import AdapterContract

    class TestMyAdapter(AdapterContract):
        harness = MyHarness()

The suite places calls on the local network: a real server, a real media socket, no keys.
"""

from __future__ import annotations
