"""The API against its own description: schemathesis sends what it allows and what it does not, and reads the answers.

``API_SECONDS=600`` takes so long, in every phase and each time with other requests; ``API_SEED`` repeats a run.
"""

from __future__ import annotations

import ipaddress
import itertools
import json
import os
import re
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import anyio
import httpcore2
import pytest
from starlette.applications import Starlette

from patter import Agent, Tool
from patter.server.api import api_routes
from patter.server.rest.keys import PERMISSIONS
from patter.server.rest.site import try_tool_with
from patter.testing import ScriptedEars, ScriptedLine, ScriptedMind, ScriptedVoice
from patter.workspace import Workspace, open_workspace

SECONDS = int(os.environ.get("API_SECONDS", "0"))
SEED = int(os.environ.get("API_SEED", "0"))
PHASES = ("examples", "fuzzing", "stateful")  # and, in long runs, coverage, which sends four thousand requests

CONFIG: dict[str, Any] = {
    "headers": {"X-API-Key": "all"},
    "continue-on-failure": True,
    "generation": {"max-examples": 5, "deterministic": True, "database": "none"},
    "phases": {name: {"enabled": name in PHASES} for name in (*PHASES, "coverage")},
    "seed": SEED,
    # Else what is sent would follow from what other tests have imported.
    "analysis": {"constants": {"enabled": False}},
    # A body that is too long is refused before anything in it is looked at.
    "checks": {"negative_data_rejection": {"expected-statuses": ["400", "404", "405", "409", "413", "415"]}},
}
# The description's own links lead deeper than what is inferred beside them.
STATEFUL: dict[str, Any] = {"max-steps": 20, "inference": {"algorithms": []}}
if SECONDS:
    STATEFUL = {"max-steps": 30}
    CONFIG["analysis"]["constants"]["enabled"] = True
    CONFIG["generation"] |= {"max-examples": 300, "deterministic": False}
    CONFIG["phases"]["coverage"]["enabled"] = True
    CONFIG["max-time"] = SECONDS
    if "API_SEED" not in os.environ:
        CONFIG["seed"] = int.from_bytes(os.urandom(4))
CONFIG["phases"]["stateful"] |= STATEFUL

# What no schema says, so that a body may fit its schema and be refused all the same: the field, and why.
UNSAID = (
    r"tools\.\d+: the workspace has no tool.*",  # what else there is
    r"tool: it acts on a call.*",
    r"config\.url: .*",  # which texts are addresses of public servers, numbers that are dialled, headers that are set
    r"config(\.\w+)*: (it is no E\.164 number|emergency, short and premium).*",
    r"config\.headers(\.\d+)?: .*",
    r"parameters: (it is no JSON Schema|a \$ref must).*",
    r"parameters\.\d+\.name: .*",  # that two parameters have one name
    r"None: The body has the character U\+0000.*",
)
# Of a tool that is changed: whether what is sent fits what is kept.
UNSAID_OF_A_CHANGE = (*UNSAID, r"(config(\.\w+)*|parameters|max_retries|wait_for_response): .*")


class NoCalls:
    """No call goes on."""

    def live(self, call_id: str) -> None:
        return None


class Nowhere(httpcore2.AsyncNetworkBackend):
    """A network in which nobody answers."""

    async def connect_tcp(self, *_: Any, **__: Any) -> httpcore2.AsyncNetworkStream:
        raise httpcore2.ConnectError


def programmed(workspace: Workspace) -> None:
    """An agent of the program, which the API shows and tries out, and does not change."""
    tool = Tool(name="add", description="Adds up what it is given", handler=lambda arguments, context: len(arguments))
    ears = ScriptedEars(ScriptedLine())
    workspace.introduce(Agent(stt=ears, llm=ScriptedMind(()), tts=ScriptedVoice(), name="desk", tools=[tool]))


def from_anywhere(app: Any) -> Any:
    """Each request has an address of its own: a stranger is refused for the key, not for how many have guessed."""
    numbers = itertools.count(int(ipaddress.IPv4Address("10.0.0.1")))

    async def moved(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, "client": (str(ipaddress.IPv4Address(next(numbers))), 1)}, receive, send)

    return moved


@pytest.fixture
def schema() -> Iterator[Any]:
    import schemathesis  # a second, which only the process that needs it spends

    workspace = open_workspace("sqlite://")
    programmed(workspace)
    routes = api_routes(
        NoCalls(),
        workspace,
        keys={"all": {"permissions": list(PERMISSIONS)}},
        rate_limit=None,
        allow_hosts=(),
        try_tool=try_tool_with(workspace, (), network=Nowhere()),
    )
    app = from_anywhere(Starlette(routes=routes))
    schema = schemathesis.openapi.from_asgi("/v1/openapi.json", app, config=schemathesis.Config.from_dict(CONFIG))

    @schema.hook
    def filter_failure(context: Any, failure: Any, case: Any, response: Any) -> bool:
        return "positive_data_acceptance" not in failure.checks or not is_unsaid(case, response)

    yield schema
    anyio.run(workspace.store.close)
    workspace.knowledge.close()


def is_unsaid(case: Any, response: Any) -> bool:
    """True if a body was refused for what its schema could not say."""
    error = json.loads(response.content)["error"]
    problems = [f"{one['field']}: {one['message']}" for one in error["details"]] or [f"None: {error['message']}"]
    patterns = UNSAID_OF_A_CHANGE if case.method == "PATCH" else UNSAID
    return all(any(re.fullmatch(pattern, problem) for pattern in patterns) for problem in problems)


@pytest.mark.timeout(SECONDS * 3 or 60)
def test_the_api_is_what_it_says(schema: Any) -> None:
    from schemathesis.engine import events, from_schema

    sent: Counter[str] = Counter()
    answered: Counter[int] = Counter()
    failed: dict[str, str] = {}
    for event in from_schema(schema).execute():
        assert not isinstance(event, events.FatalError | events.NonFatalError), event
        if isinstance(event, events.ScenarioFinished):
            for interaction in event.recorder.interactions.values():
                assert interaction.response is not None
                sent[event.phase.value] += 1
                answered[interaction.response.status_code] += 1
            failed |= {name: told for name, told in failures(event.recorder) if name not in failed}
    if SECONDS:
        sys.stderr.write(f"API_SEED={CONFIG['seed']}: {dict(sent)}, {dict(sorted(answered.items()))}\n")
    assert not failed, "\n\n".join([f"API_SEED={CONFIG['seed']}", *(f"{one}: {told}" for one, told in failed.items())])
    assert sent.keys() >= set(PHASES) and answered.keys() >= {200, 201, 204, 400, 401, 404, 409}


def failures(record: Any) -> Iterator[tuple[str, str]]:
    """Each check that has failed: where and which, and what it says, with a way to repeat it."""
    for case, checks in record.checks.items():
        for check in checks:
            if (found := check.failure_info) is not None:
                told = found.failure, found.code_sample, record.interactions[case].response.content
                yield f"{record.label} {check.name}", "\n".join(f"{one!s:.2000}" for one in told)
