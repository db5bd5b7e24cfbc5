"""Patter's phone for CrewAI: a tool that makes calls, and CrewAI's tools used during a call."""

from __future__ import annotations

from patter_crewai.approval import approve_calls
from patter_crewai.call_tools import in_call_tools
from patter_crewai.events import PhoneCallEvent
from patter_crewai.tool import PatterCrewAITool

__all__ = ["PatterCrewAITool", "PhoneCallEvent", "approve_calls", "in_call_tools"]
__version__ = "0.1.0"
