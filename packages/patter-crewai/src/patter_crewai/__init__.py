"""The place of Patter's phone tool for CrewAI agents, which is not written yet."""

__all__: list[str] = []
