"""The flat constructor, and agents whose parts come from keys, the environment, or the local network."""

from __future__ import annotations

from typing import Any

import pytest

from patter import Agent, AnthropicLLM, ConfigError, DeepgramSTT, ElevenLabsTTS, OpenAILLM, Patter, Twilio

FLAT: dict[str, Any] = {
    "twilio_sid": "AC" + "0" * 32,
    "twilio_token": "token",
    "phone_number": "+15550001234",
    "webhook_url": "api.example.com",
}
VENDORS = {"deepgram_key": "d", "openai_key": "o", "elevenlabs_key": "e"}


def look_up(order_id: str) -> str:
    """Look up an order by its number.

    Args:
        order_id: such as ORD-123456.
    """
    return order_id


def test_flat_credentials_make_a_phone_and_its_agent() -> None:
    phone = Patter(**FLAT, **VENDORS)
    agent = phone.agent(system_prompt="Help.", tools=[look_up], first_message="Hi!")
    assert isinstance(agent, Agent)
    assert (agent.system_prompt, agent.first_message, [tool.name for tool in agent.tools]) == (
        "Help.",
        "Hi!",
        ["look_up"],
    )
    assert isinstance(agent.stt, DeepgramSTT)
    assert isinstance(agent.llm, OpenAILLM)
    assert isinstance(agent.tts, ElevenLabsTTS)


def test_the_environment_fills_in_for_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for vendor in ("DEEPGRAM", "ANTHROPIC", "ELEVENLABS"):
        monkeypatch.setenv(f"{vendor}_API_KEY", "key")
    assert isinstance(Patter(**FLAT).agent().llm, AnthropicLLM)
    monkeypatch.setenv("OPENAI_API_KEY", "key")
    assert isinstance(Patter(**FLAT).agent().llm, OpenAILLM)


def test_parts_that_are_given_are_kept() -> None:
    mind = OpenAILLM("another")
    assert Patter(**FLAT, **VENDORS).agent(llm=mind).llm is mind


def test_on_the_local_network_no_key_is_needed() -> None:
    phone = Patter.local(voice="tones")
    agent = phone.agent(system_prompt="Help.")
    assert phone.default_agent is not None
    assert (agent.stt, agent.llm, agent.tts) == (
        phone.default_agent.stt,
        phone.default_agent.llm,
        phone.default_agent.tts,
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"carrier": Twilio("AC" + "0" * 32, "token")}, "not both"),
        ({"twilio_token": None}, "auth_token is missing"),
        ({"phone_number": "12"}, "phone_number"),
    ],
)
def test_contradictions_are_told(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Patter(**(FLAT | options))


def test_a_missing_key_is_named() -> None:
    with pytest.raises(ConfigError, match="DEEPGRAM_API_KEY"):
        Patter(**FLAT).agent()


def test_secrets_come_from_the_environment_by_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRM_KEY", "sesame")
    agent = Patter.local(voice="tones").agent(secrets={"API_KEY": "open"}, secrets_env=["CRM_KEY"])
    assert agent.secrets == {"API_KEY": "open", "CRM_KEY": "sesame"}
    for wrong in ({"secrets": {"lower": "x"}}, {"secrets_env": ["NOT_SET_ANYWHERE"]}):
        with pytest.raises(ConfigError, match=r"capital letters|not set"):
            Patter.local(voice="tones").agent(**wrong)


def test_no_secret_is_in_what_is_printed() -> None:
    phone = Patter(**FLAT, deepgram_key="sesame", openai_key="sesame", elevenlabs_key="sesame")
    assert "sesame" not in repr(phone) + repr(phone.agent(secrets={"API_KEY": "sesame"}, webhook_secret="sesame"))
