"""The phone tool for frameworks that need no package of their own: MCP, the OpenAI Agents SDK, pydantic-ai.

Each module imports its SDK when it is used. `patter.tool.PatterTool` has a method for each.
"""

from __future__ import annotations
