"""The suite bites: each broken adapter fails the test that is meant for it, for its own reason."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import pytest

BROKEN = Path(__file__).with_name("broken_adapters.py")
REPORT = "report.xml"
TIME_S = 50

PLACED = "test_a_call_is_placed_and_its_envelope_comes_back"
IN_ANY_LANGUAGE = "test_text_in_any_language_reaches_the_model_as_itself[sync]"
PROGRESS = "test_progress_arrives_in_order[sync]"
NAMED = "test_a_wrong_argument_is_named_and_dials_nobody"
CASES = [
    ("DriftingSchema", "test_the_arguments_are_those_of_the_exporters", "to is as in the openai chat schema"),
    ("AnyNumberOfArguments", "test_the_number_is_required_and_the_rest_may_be_null", "to is required"),
    ("NoDescription", "test_the_description_is_the_tools", "the model reads the tool's description unchanged"),
    ("OwnName", "test_an_owners_name_and_description_reach_the_model", "name= and description= of PatterTool"),
    ("PythonRepr", f"{PLACED}[sync]", "the model reads the envelope as a JSON object"),
    ("PythonRepr", "test_hangup_all_ends_an_agents_call_with_an_envelope[sync]", "as a JSON object"),
    ("Escapes", IN_ANY_LANGUAGE, "the text is not escaped to ASCII"),
    ("Escapes", "test_an_agent_calls_and_reads_the_envelope[sync]", "text beyond ASCII reaches the model as itself"),
    ("LosesCharacters", IN_ANY_LANGUAGE, "program and model get the same transcript"),
    ("Template", "test_what_a_stranger_says_stays_inside_a_json_string[async]", "as a JSON object"),
    ("Template", "test_what_a_stranger_says_reaches_an_agent_as_a_string", "as a JSON object"),
    ("TextOnly", f"{PLACED}[async]", "the program reaches the envelope as a CallResult"),
    ("NewLoopForEachCall", f"{PLACED}[sync-on-loop]", "cannot be called from a running event loop"),
    ("OneLoopForEver", "test_one_tool_serves_two_loops_after_each_other", "this tool belongs to another loop"),
    ("OneLoopForEver", "test_loops_of_two_threads_share_one_tool", "this tool belongs to another loop"),
    (
        "BusyIsAnError",
        "test_a_call_that_reaches_nobody_is_a_result[busy-sync]",
        "a call that ended busy is a result, not an error",
    ),
    (
        "BusyIsAnError",
        "test_an_agent_goes_on_when_nobody_is_reached[async]",
        "a call that ended busy is a result, not an error",
    ),
    (
        "ForgetsTheFirstMessage",
        "test_what_the_agent_shall_say_first_reaches_the_phone",
        "the agent says first_message first",
    ),
    ("OpaqueError", f"{NAMED}[no-country-code-sync]", "the text of the error names the argument"),
    ("OpaqueError", "test_a_stopped_tool_says_so_and_dials_nobody[sync]", "the text of the error says 'stopped'"),
    (
        "OpaqueError",
        "test_a_number_that_the_owner_has_not_allowed_is_not_dialled[async]",
        "the text of the error names the argument",
    ),
    ("ErrorAsText", f"{NAMED}[goal-missing-async]", "a use that dialled nobody is marked as an error"),
    ("DropsTheUnknown", f"{NAMED}[unknown-argument-sync]", "a use that dialled nobody is marked as an error"),
    ("NullsAreText", "test_an_explicit_null_is_an_argument_left_out[sync]", "max_duration_sec: '' is not a whole"),
    (
        "AgentEndsAtAnError",
        "test_an_agent_mends_its_arguments_and_gets_through[goal-missing-sync]",
        "the model reads an answer of each of 2 uses",
    ),
    ("RaisesAfterTheDial", "test_an_error_after_the_dial_is_an_envelope[sync]", "RuntimeError: the call failed"),
    ("RaisesAfterTheDial", "test_an_agent_survives_an_error_after_the_dial[async]", "RuntimeError: the call failed"),
    ("Retries", "test_an_error_after_the_dial_is_an_envelope[sync]", "a call that failed is not repeated"),
    ("TellsTheException", "test_an_error_before_the_dial_is_readable[sync]", "no secret of an error is in the text"),
    ("LetsThroughErrors", "test_an_agent_survives_an_error_before_the_dial[sync]", "RuntimeError: 401"),
    ("OneAtATime", "test_four_uses_at_once_are_four_calls[sync]", "four uses at once are four calls at once"),
    ("AroundTheLimit", "test_max_concurrent_calls_makes_uses_wait[async]", "max_concurrent_calls=1 is one call"),
    ("Caches", "test_the_same_arguments_twice_are_two_calls[sync]", "the same arguments are two dials"),
    ("Caches", "test_an_agent_may_repeat_a_call_on_purpose[sync]", "two turns are two calls"),
    ("IgnoresTheId", "test_the_same_use_twice_is_one_call[sync]", "the same use twice is dialled 1 times"),
    (
        "AnIdIsEnough",
        "test_an_id_that_comes_again_with_other_arguments_is_a_call_of_its_own[sync]",
        "two goals under one id are two calls",
    ),
    ("NoEvents", PROGRESS, "the user of the framework gets the events of the call"),
    ("NoEvents", "test_progress_of_an_agent_arrives_in_order[async]", "gets the events of the call"),
    ("NoEvents", "test_the_events_of_a_failed_call_end_and_keep_the_secret", "the events end with ['ended']"),
    ("EventsOutOfOrder", PROGRESS, "the events come in this order"),
    ("SwallowsCancellation", "test_cancelling_a_use_hangs_up", "a cancelled use raises the cancellation again"),
    ("LeavesTheLineOpen", "test_cancelling_an_agent_hangs_up", "no call goes on at the carrier"),
    ("AgentMixesUp", "test_two_uses_in_one_turn_are_two_calls[async]", "each use of a turn gets its own envelope"),
    ("LeavesATask", f"{PLACED}[thread]", "a use leaves no task on the phone's loop"),
    ("Nothing", f"{PLACED}[sync]", "TestNothing needs its adapter's harness"),
    (
        "ForgetsTheLength",
        "test_a_call_that_takes_too_long_is_hung_up_and_is_a_result[sync]",
        "comes before the tool's own",
    ),
]
WANTED = {test for _, test, _ in CASES}


class Outcome(NamedTuple):
    """What the inner pytest says of one test; of a passed one, nothing."""

    name: str
    said: str


Run = subprocess.Popen[str]


def start(folder: Path, tests: list[str]) -> Run:
    """An inner pytest as in a third party's repository: no plugin but pytest's own, and none of our conftest files."""
    folder.mkdir()
    (folder / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    options = ["-q", "--noconftest", "-p", "no:cacheprovider", f"--rootdir={folder}", f"-c{folder / 'pytest.ini'}"]
    return subprocess.Popen(
        [sys.executable, "-m", "pytest", *options, f"--junitxml={folder / REPORT}", *(f"{BROKEN}::{t}" for t in tests)],
        env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def read(report: Path) -> Iterator[tuple[str, Outcome]]:
    """The outcome of each test, with the name of its adapter."""
    for case in ElementTree.parse(report).iter("testcase"):
        said = "\n".join(f"{part.get('message')}\n{part.text}" for part in case)
        yield case.attrib["classname"].rpartition("Test")[2], Outcome(case.attrib["name"], said)


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Outcome]]:
    """What a real pytest finds in the broken adapters, in two halves, and at the same time in the unbroken one."""
    top = tmp_path_factory.mktemp("inner")
    broken = [f"Test{adapter}::{test}" for adapter, test, _ in CASES]
    control = [f"TestUnbroken::{test}" for test in sorted(WANTED)]
    runs = {top / "even": broken[::2], top / "odd": broken[1::2], top / "control": control}
    found: dict[str, list[Outcome]] = {}
    running = [(folder, start(folder, tests)) for folder, tests in runs.items()]
    try:
        for folder, run in running:
            output, _ = run.communicate(timeout=TIME_S)
            assert run.returncode in (0, 1), output  # anything else is no run of the tests
            for adapter, outcome in read(folder / REPORT):
                found.setdefault(adapter, []).append(outcome)
    finally:
        for _, run in running:
            run.kill()
            run.communicate()
    return found


@pytest.mark.parametrize(("adapter", "test", "reason"), CASES, ids=[f"{adapter} {test}" for adapter, test, _ in CASES])
def test_a_broken_adapter_fails_for_its_own_reason(
    adapter: str, test: str, reason: str, outcomes: dict[str, list[Outcome]]
) -> None:
    (outcome,) = [outcome for outcome in outcomes[adapter] if outcome.name == test]
    assert reason in outcome.said


def test_the_unbroken_adapter_passes_the_same_tests(outcomes: dict[str, list[Outcome]]) -> None:
    passed = [outcome.name for outcome in outcomes["Unbroken"] if not outcome.said]
    assert sorted(passed) == sorted(WANTED)


def test_every_broken_adapter_is_run() -> None:
    source = BROKEN.read_text()
    bases = {"ReadsOtherwise", "ChangesArguments"}
    classes = {line.split()[1].partition("(")[0] for line in source.splitlines() if line.startswith("class ")}
    assert {name for name in classes if not name.startswith("Test")} - bases == {adapter for adapter, _, _ in CASES} - {
        "Nothing"
    }
