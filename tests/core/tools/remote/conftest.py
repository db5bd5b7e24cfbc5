from patter.testing.pytest_plugin import anyio_backend, no_leaked_tasks

__all__ = ["anyio_backend", "no_leaked_tasks"]
