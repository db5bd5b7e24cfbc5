"""The place of Patter's phone tool for LangChain agents, which is not written yet."""

__all__: list[str] = []
