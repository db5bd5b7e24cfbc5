"""What is set on a tool of each type, and when the agent speaks around its use.

The names and units are those of the wire (C's ``timeout`` is in seconds, ``duration`` in milliseconds). A
config refuses unknown keys; its errors name what is accepted, and never the value that was given.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StringConstraints,
    model_validator,
)

from patter.errors import ConfigError, InvalidArguments, NotAllowed

__all__ = [
    "SEEN",
    "CustomWebsocketConfig",
    "EndCallConfig",
    "ExtractVariableConfig",
    "HandlerConfig",
    "HttpRequestConfig",
    "KeyValue",
    "KnowledgeBaseConfig",
    "McpConfig",
    "MonitoredTransferConfig",
    "PlayToneConfig",
    "SpeechPolicy",
    "ToolConfig",
    "ToolType",
    "TransferCallConfig",
    "WebhookConfig",
    "Whole",
    "speech_of",
]

ToolType = Literal[
    "handler",
    "webhook",
    "http_request",
    "custom_websocket",
    "transfer_call",
    "monitored_transfer",
    "end_call",
    "extract_variable",
    "play_tone",
    "knowledge_base",
    "mcp",
]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


def _number(value: str) -> str:
    from patter.policy.numbers import check_number

    try:
        return check_number(value)
    except NotAllowed:
        raise ValueError("emergency, short and premium numbers are never dialled") from None
    except InvalidArguments:  # its message holds the number
        raise ValueError("it is no E.164 number: '+', country code, number, such as +4930999888") from None


def _address(value: str) -> str:
    from patter.tools.addresses import target_of

    _checked(target_of, value)
    return value


def _header(name: str, value: str) -> None:
    from patter.tools.http_messages import check_header, check_header_value

    _checked(check_header, name)
    _checked(check_header_value, name, value)


def _checked(check: Callable[..., object], *values: str) -> None:
    try:
        check(*values)
    except ConfigError as error:  # pydantic adds the path
        raise ValueError(str(error).partition(": ")[2].rstrip(".")) from None


def _headers(value: dict[str, str]) -> dict[str, str]:
    for name, content in value.items():
        _header(name, content)
    return value


def _argv(value: Any) -> Any:
    return shlex.split(value) if isinstance(value, str) else value


def _whole(value: Any) -> Any:
    """To JSON, 1.0 is a whole number."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


SEEN = r"[^\s\x00-\x1f\x7f-\xa0\ufeff]"
"""Matches a character that can be seen. Languages differ in what they call white space; here they do not."""

Number = StrictInt | StrictFloat
Whole = Annotated[StrictInt, BeforeValidator(_whole)]
PhoneNumber = Annotated[
    str,
    AfterValidator(_number),
    Field(json_schema_extra={"pattern": r"^\+[1-9][0-9]{6,14}$", "examples": ["+4930999888"]}),
]
Address = Annotated[
    str,
    StringConstraints(min_length=1, max_length=2048),
    AfterValidator(_address),
    Field(
        json_schema_extra={"pattern": "^https?://[^/?#]", "examples": ["https://api.example.com/orders/{{order_id}}"]}
    ),
]
Headers = Annotated[dict[str, str], AfterValidator(_headers)]
Sentence = Annotated[str, StringConstraints(min_length=1, max_length=1000)]
Digits = Annotated[str, StringConstraints(pattern=r"^[0-9*#A-Dw]{1,32}$")]


class SpeechPolicy(_Strict):
    """When the agent speaks around a tool's use.

    Args:
        during: the agent says a filler while it waits. Text that the mind wrote in the same turn counts as one.
        after: the mind is asked for an answer when the result is there; else the result only joins the history.
        filler: what to say; None is the default of the language.
        delay_ms: the filler begins if there is no result after this time.
        wait_before: what is being said is played to its end before the tool runs; if the other side takes the floor
            meanwhile, it does not run.
        require_before: the tool runs only after the agent has said something in the same turn; if the mind has
            written nothing, that is the filler, said at once.
    """

    during: StrictBool = True
    after: StrictBool = True
    filler: Sentence | None = None
    delay_ms: Whole = Field(default=800, ge=0, le=60_000)
    wait_before: StrictBool = False
    require_before: StrictBool = False


class KeyValue(_Strict):
    """A header or a query parameter; the value may be a template."""

    key: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    value: Annotated[str, StringConstraints(max_length=8192)] = Field(repr=False)


def _pairs(pairs: tuple[KeyValue, ...]) -> tuple[KeyValue, ...]:
    for pair in pairs:
        _header(pair.key, pair.value)
    return pairs


class HandlerConfig(_Strict):
    """A function of the host's; nothing is set on it."""

    tool_type: Literal["handler"] = Field(default="handler", exclude=True)


class WebhookConfig(_Strict):
    """A server of the host's own that is asked by POST.

    Args:
        url: http or https; path and query may be templates.
        headers: sent as they are; values may be templates.
        secret: signs each request, see `patter.tools.signing.verify_webhook`.
    """

    tool_type: Literal["webhook"] = Field(default="webhook", exclude=True)
    url: Address = Field(repr=False)
    headers: Headers = Field(default={}, repr=False)
    secret: Annotated[str, StringConstraints(min_length=1)] | None = Field(default=None, repr=False)


class HttpRequestConfig(_Strict):
    """A request to any public server.

    Args:
        url: http or https; path and query may be templates, scheme and host may not.
        method: GET, POST, PUT or DELETE.
        headers, query_params: in the order given, duplicates kept; values may be templates.
        body: text or a JSON value whose strings may be templates; None sends none.
        timeout: seconds, above 0 and at most 120.
        speak_during_execution: the agent says a filler while it waits.
        speak_after_execution: the agent answers when the result is there.
    """

    tool_type: Literal["http_request"] = Field(default="http_request", exclude=True)
    url: Address = Field(repr=False)
    method: Literal["GET", "POST", "PUT", "DELETE"] = "GET"
    headers: Annotated[tuple[KeyValue, ...], AfterValidator(_pairs)] = Field(default=(), repr=False)
    query_params: tuple[KeyValue, ...] = Field(default=(), repr=False)
    body: str | dict[str, Any] | list[Any] | None = Field(default=None, repr=False)
    timeout: Annotated[Number, Field(gt=0, le=120)] = 30
    speak_during_execution: StrictBool = False
    speak_after_execution: StrictBool = True


class CustomWebsocketConfig(_Strict):
    """A client that is connected over a websocket.

    Args:
        tool_call_output_timeout_ms: how long its output is waited for, 1,000 to 180,000 ms.
    """

    tool_type: Literal["custom_websocket"] = Field(default="custom_websocket", exclude=True)
    tool_call_output_timeout_ms: Whole = Field(default=5000, ge=1000, le=180_000)


class TransferCallConfig(_Strict):
    """Hands the call over to a declared number.

    Args:
        phone_number: E.164; None lets the mind choose among ``allowed_numbers``.
        transfer_mode: cold hands over at once; with warm the target is briefed first, and the caller stays meanwhile.
        play_hold_music: with warm, the caller hears music while the target rings and is briefed. With cold it
            changes nothing: the carrier rings the target, and plays its own ringing tone.
        allowed_numbers: E.164; what the mind may choose.
        message: said to the caller before.
        timeout_seconds: how long the target may ring, 5 to 120 s.
        post_dial_dtmf: keys sent once it has answered; ``w`` is a pause of 500 ms.
    """

    tool_type: Literal["transfer_call"] = Field(default="transfer_call", exclude=True)
    phone_number: PhoneNumber | None = None
    transfer_mode: Literal["cold", "warm"] = "cold"
    play_hold_music: StrictBool = False
    allowed_numbers: tuple[PhoneNumber, ...] = ()
    message: Sentence | None = None
    timeout_seconds: Annotated[Number, Field(ge=5, le=120)] = 30
    post_dial_dtmf: Digits | None = None

    @model_validator(mode="after")
    def _check(self) -> TransferCallConfig:
        if self.phone_number is None and not self.allowed_numbers:
            raise ValueError("it needs phone_number, or allowed_numbers among which the mind chooses")
        return self


class MonitoredTransferConfig(_Strict):
    """Hands the call over once the target has answered; until then the agent stays with the caller.

    Args:
        phone_number: E.164.
        timeout_seconds: how long the target may ring, 5 to 120 s.
        announce: said to the target before the caller is put through.
    """

    tool_type: Literal["monitored_transfer"] = Field(default="monitored_transfer", exclude=True)
    phone_number: PhoneNumber
    timeout_seconds: Annotated[Number, Field(ge=5, le=120)] = 20
    announce: Sentence | None = None


class EndCallConfig(_Strict):
    """Hangs up.

    Args:
        goodbye_message: said before; None leaves the goodbye to the mind.
    """

    tool_type: Literal["end_call"] = Field(default="end_call", exclude=True)
    goodbye_message: Sentence | None = None


class ExtractVariableConfig(_Strict):
    """Keeps something that the caller has said as a variable of the call.

    Args:
        variable_name: its name in templates and in the envelope.
        variable_type: what is accepted as a value.
        prompt_text: what the agent asks.
        example_format: an example for the mind.
        confirmation_enabled: the caller must confirm the value in a later turn.
    """

    tool_type: Literal["extract_variable"] = Field(default="extract_variable", exclude=True)
    variable_name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")]
    variable_type: Literal["email", "phone", "name", "number", "date", "custom"] = "custom"
    prompt_text: Sentence | None = None
    example_format: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None
    confirmation_enabled: StrictBool = False


class PlayToneConfig(_Strict):
    """Plays the tones of telephone keys into the call.

    Args:
        tone_type: only ``dtmf``.
        dtmf_digit: one key; None lets the mind choose up to 32.
        duration: of each tone, 40 to 6,000 ms.
        volume: 0 to 1.
        gap_ms: silence between two tones, 40 to 2,000 ms.
    """

    tool_type: Literal["play_tone"] = Field(default="play_tone", exclude=True)
    tone_type: Literal["dtmf"] = "dtmf"
    dtmf_digit: Annotated[str, StringConstraints(pattern=r"^[0-9*#A-D]$")] | None = None
    duration: Whole = Field(default=500, ge=40, le=6000)
    volume: Annotated[Number, Field(ge=0, le=1)] = 0.8
    gap_ms: Whole = Field(default=100, ge=40, le=2000)


class KnowledgeBaseConfig(_Strict):
    """Searches the agent's documents.

    Args:
        top_k: passages at most, 1 to 50.
        similarity_threshold: the lowest score, 0 (any) to 1 (exact).
        bridging_sentence: said while the search runs.
    """

    tool_type: Literal["knowledge_base"] = Field(default="knowledge_base", exclude=True)
    top_k: Whole = Field(default=5, ge=1, le=50)
    similarity_threshold: Annotated[Number, Field(ge=0, le=1)] = 0.7
    bridging_sentence: Sentence | None = None


class McpConfig(_Strict):
    """The tools of an MCP server.

    Args:
        url: where it listens; or
        command: the program to start, with its arguments: a list, or text as in a shell.
        headers: sent to ``url``; values may be templates.
        allowed_tools: the tools that are offered; None offers all.
    """

    tool_type: Literal["mcp"] = Field(default="mcp", exclude=True)
    url: Address | None = Field(default=None, repr=False)
    command: Annotated[tuple[str, ...], Field(min_length=1), BeforeValidator(_argv)] | None = Field(
        default=None, repr=False
    )
    headers: Headers = Field(default={}, repr=False)
    allowed_tools: tuple[str, ...] | None = None

    @model_validator(mode="after")
    def _check(self) -> McpConfig:
        if (self.url is None) == (self.command is None):
            raise ValueError("it needs exactly one of url and command")
        return self


ToolConfig = Annotated[
    HandlerConfig
    | WebhookConfig
    | HttpRequestConfig
    | CustomWebsocketConfig
    | TransferCallConfig
    | MonitoredTransferConfig
    | EndCallConfig
    | ExtractVariableConfig
    | PlayToneConfig
    | KnowledgeBaseConfig
    | McpConfig,
    Field(discriminator="tool_type"),
]


def speech_of(config: BaseModel) -> SpeechPolicy:
    """The speech around a tool's use, as far as its config says something about it."""
    if isinstance(config, HttpRequestConfig):
        return SpeechPolicy(during=config.speak_during_execution, after=config.speak_after_execution)
    if isinstance(config, KnowledgeBaseConfig) and config.bridging_sentence is not None:
        return SpeechPolicy(filler=config.bridging_sentence, delay_ms=0)
    if isinstance(config, _SPEAKS_ITSELF):
        return SpeechPolicy(during=False)
    return SpeechPolicy()


_SPEAKS_ITSELF = (TransferCallConfig, MonitoredTransferConfig, EndCallConfig, ExtractVariableConfig, PlayToneConfig)
