"""Whatever a client sends, the tool socket answers or closes, and leaves no task."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any

import anyio
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.websockets import WebSocket
from tests.core.server.tool_desk import inline

from patter import Agent, Tool
from patter.server.rest.gate import Gate
from patter.server.rest.keys import Keys
from patter.server.tool_socket import tool_socket
from patter.store.base import ToolStore
from patter.testing import ScriptedEars, ScriptedLine, ScriptedMind, ScriptedVoice, run_virtual
from patter.workspace import Workspace

CASES = int(os.environ.get("SOCKET_CASES", "300"))
KEYS = Keys({"k" * 16: {"permissions": ["tools:serve"]}, "r" * 16: {"permissions": ["tools:read"]}})
GATE = Gate(KEYS, None)
KNOWN = Tool(name="known", description="Asks a program elsewhere.", tool_type="custom_websocket")


class NoStore(ToolStore):
    """Nothing is read or written."""


def workspace() -> Workspace:
    made = Workspace(NoStore(), None)  # type: ignore[abstract, arg-type]
    ears = ScriptedEars(ScriptedLine())
    made.introduce(Agent(stt=ears, llm=ScriptedMind(()), tts=ScriptedVoice(), name="desk", tools=[KNOWN]))
    return made


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=12)
JSON = st.recursive(
    SCALARS,
    lambda one: st.lists(one, max_size=3) | st.dictionaries(st.text(max_size=8), one, max_size=3),
    max_leaves=8,
)
TOOLS = st.lists(st.sampled_from(["known", "unknown", inline("new"), inline("known"), {}, 1]) | JSON, max_size=3)
CONFIGS = st.fixed_dictionaries(
    {"type": st.just("config"), "agent": st.sampled_from(["desk", "nobody"]) | JSON},
    optional={
        "tools": TOOLS | JSON,
        "api_key": st.sampled_from(["k" * 16, "r" * 16, "x"]) | JSON,
        "call_id": JSON,
        "events": st.just(["transcript"]) | JSON,
        "template_variables": JSON,
    },
)
TYPES = ["tool_call_output", "say", "add_system_message", "generate_reply", "audio_chunk", "config"]
OTHERS = st.builds(
    lambda kind, fields: {"type": kind, **fields},
    st.sampled_from(TYPES),
    st.dictionaries(
        st.sampled_from(["tool_call_id", "output", "is_error", "text", "system_message", "agent"]), JSON, max_size=4
    ),
)
FRAMES = (CONFIGS | OTHERS | JSON).map(json.dumps) | st.text(max_size=30) | st.binary(max_size=30)
GOOD = json.dumps({"type": "config", "agent": "desk", "api_key": "k" * 16})


class Peer:
    """The server's side of a websocket: frames come in, and what goes out is kept."""

    def __init__(self, frames: Sequence[str | bytes]) -> None:
        self._left: list[dict[str, Any]] = [{"type": "websocket.connect"}]
        for frame in frames:
            kind = "text" if isinstance(frame, str) else "bytes"
            self._left.append({"type": "websocket.receive", kind: frame})
        self._left.append({"type": "websocket.disconnect", "code": 1005})
        self.sent: list[dict[str, Any]] = []

    async def receive(self) -> dict[str, Any]:
        await anyio.sleep(0.01)
        return self._left.pop(0)

    async def send(self, message: dict[str, Any]) -> None:
        assert not (self.sent and self.sent[-1]["type"] == "websocket.close"), "something is sent after the close"
        self.sent.append(dict(message))


async def converse(frames: Sequence[str | bytes]) -> list[dict[str, Any]]:
    peer, where = Peer(frames), workspace()
    scope = {"type": "websocket", "headers": [], "path": "/v1/tools/ws", "query_string": b""}
    await tool_socket(NoCalls(), where, GATE)(WebSocket(scope, peer.receive, peer.send))
    assert where.hub.clients == 0
    assert len(anyio.get_running_tasks()) == 1
    return peer.sent


class NoCalls:
    """No call goes on."""

    def live(self, call_id: str) -> None:
        return None


@settings(max_examples=CASES)
@given(st.lists(FRAMES, max_size=6), st.booleans())
def test_no_frames_take_the_server_down_or_leave_a_task(frames: list[str | bytes], is_welcome: bool) -> None:
    sent = run_virtual(converse, [GOOD, *frames] if is_welcome else frames)
    kinds = [message["type"] for message in sent]
    assert kinds[0] == "websocket.accept"
    told = [json.loads(message["text"]) for message in sent if message["type"] == "websocket.send"]
    if is_welcome:
        assert [one["type"] for one in told[:2]] == ["conversation_created", "ready_to_start_conversation"]
    assert all(one["error"]["message"] for one in told if one["type"] == "error")
