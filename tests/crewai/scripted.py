"""A crew of one agent whose model is scripted."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from crewai import Agent, BaseLLM, Crew, Task
from crewai.tools import BaseTool
from pydantic import Field

DONE = "All done."


class ScriptedLLM(BaseLLM):
    """Makes the uses of one turn, then those of the next, and then says `DONE`.

    How far it is, it reads from the messages, so that copies of a crew may share it. A turn is a list of
    ``(tool's name, id of the use, arguments)``.
    """

    turns: list[Any] = Field(default_factory=list, exclude=True)
    asked: list[Any] = Field(default_factory=list, exclude=True)
    """The messages of each request, and the tools."""

    def call(self, messages: Any, tools: Any = None, *args: Any, **kwargs: Any) -> Any:
        self.asked.append(([dict(message) for message in messages], tools))
        turn = sum(bool(message.get("tool_calls")) for message in messages)
        if turn >= len(self.turns):
            return DONE
        return [
            {"id": id_, "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
            for name, id_, arguments in self.turns[turn]
        ]

    async def acall(self, *args: Any, **kwargs: Any) -> Any:
        return self.call(*args, **kwargs)

    def read(self) -> list[str]:
        """What the model read of its uses, in the order of the uses."""
        return [message["content"] for message in self.asked[-1][0] if message["role"] == "tool"]

    def supports_function_calling(self) -> bool:
        return True

    def supports_stop_words(self) -> bool:
        return False

    def get_input_tokens_count(self, *args: Any, **kwargs: Any) -> int:
        return 1


class ReActLLM(ScriptedLLM):
    """Knows no tool calls: writes what it wants to use, as text."""

    def call(self, messages: Any, tools: Any = None, *args: Any, **kwargs: Any) -> Any:
        self.asked.append(([dict(message) for message in messages], tools))
        turn = len(self.asked) - 1
        if turn >= len(self.turns):
            return f"Thought: I now know the final answer\nFinal Answer: {DONE}"
        ((name, _, arguments),) = self.turns[turn]
        return f"Thought: I should call.\nAction: {name}\nAction Input: {json.dumps(arguments)}"

    def supports_function_calling(self) -> bool:
        return False


def uses(tool: BaseTool, *turns: Sequence[Mapping[str, Any]]) -> list[Any]:
    """A script that uses one tool."""
    return [[(tool.name, f"call_{number}", dict(arguments)) for number, arguments in enumerate(turn)] for turn in turns]


def crew_of(tool: BaseTool, llm: BaseLLM, **options: Any) -> Crew:
    """A crew of one agent with this tool, and one task."""
    agent = Agent(role="Caller", goal="Make calls.", backstory="You call people.", tools=[tool], llm=llm)
    task = Task(description="Call them.", expected_output="What they said.", agent=agent)
    return Crew(agents=[agent], tasks=[task], **options)
