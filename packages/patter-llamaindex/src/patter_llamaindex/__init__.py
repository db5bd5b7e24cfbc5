"""The place of Patter's phone tool for LlamaIndex agents, which is not written yet."""

__all__: list[str] = []
